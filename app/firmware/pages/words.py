"""What pages make of a version for people: states, dates, links. No HTTP in here."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.i18n import _, fmt_day, fmt_month, fmt_size, ngettext
from app.firmware import versions
from app.firmware.service.library import Card, Row
from app.firmware.service.wishes import Wish
from app.firmware.service.wording import state_word, status_word, words

LOOKS = {"ok": "b3", "error": "b1", "denied": "b2", "unauthorized": "b4", "throttled": "b5"}
SLICES = ("b4", "b5", "b1", "b2", "b3", "b6")


def told(reading: versions.Reading | None) -> str:
    """A version code in words; nothing where it says nothing."""
    if reading is None:
        return ""
    kind = _("Security") if reading.security else _("Feature")
    return f"{kind}, {fmt_month(reading.month, 'MMMM y')}"


def per_day(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Outcomes a day as a bar chart wants them: `labels` and `series`."""
    labels = sorted({each["day"] for each in found})
    return {
        "labels": [fmt_day(day) for day in labels],
        "series": [
            {
                "name": status_word(name)[1],
                "look": look,
                "points": [
                    sum(each["n"] for each in found if (each["day"], each["status"]) == (day, name))
                    for day in labels
                ],
            }
            for name, look in LOOKS.items()
        ],
    }


def asked(wish: Wish) -> dict[str, str]:
    """A request that waits for Samsung's word."""
    return {
        "pda": versions.pda(wish.wanted_version or ""),
        "target": f"{wish.model}, {wish.csc}",
        "since": wish.created_at,
    }


def row(version: Row) -> dict[str, Any]:
    """One line of the repository."""
    look, word = state_word(version.state)
    reading = version.reading
    return {
        "id": version.id,
        "pda": version.pda,
        "told": told(reading),
        "look": look,
        "word": f"{word}: {version.parts}" if version.parts else word,
        "target": ", ".join(part for part in (version.model, version.csc) if part),
        "name": version.display_name,
        "bootloader": reading.bootloader if reading else "",
        "size_bytes": version.size_bytes,
        "percent": round(100 * version.bytes_done / max(version.size_bytes, 1)),
        "used": version.last_used_at,
        "pinned": bool(version.pinned),
    }


def card(found: Card) -> dict[str, Any]:
    """One version with everything its page shows."""
    version, figures = found.version, found.figures
    look, word = state_word(version.state)
    fault = words(version.error_code, version.error_text)
    reading = found.reading
    total = max(sum(part.size_bytes for part in found.parts), 1)
    return {
        "id": version.id,
        "pda": found.pda,
        "code": version.version_code,
        "told": told(reading),
        "name": version.display_name or version.model or "",
        "state": version.state,
        "look": look,
        "word": word,
        "active": found.active,
        "held": version.state in ("paused", "failed", "evicted", "new", "partial"),
        "here": version.state in ("ready", "partial"),
        "size_bytes": version.size_bytes,
        "done": found.done,
        "percent": round(100 * found.done / max(version.size_bytes, 1)),
        "rate": round(figures.rate) if figures else None,
        "connections": figures.connections if figures else 0,
        "reconnects": figures.reconnects if figures else 0,
        "left_s": figures.left_s if figures else None,
        "member": figures.member if figures else "",
        "speeds": found.speeds[-120:],
        "strip": found.segments,
        "strip_done": sum(look == "done" for _x, _w, look in found.segments),
        "stages": _stages(found),
        "parts": [
            {
                "id": part.id,
                "filename": part.filename,
                "part": part.part,
                "size_bytes": part.size_bytes,
                "look": SLICES[at % len(SLICES)],
                "width": max(round(1000 * part.size_bytes / total) - 3, 2),
                "here": bool(part.present) and version.state in ("ready", "partial"),
                "md5": part.md5sum or "",
                "md5_ok": part.md5_ok,
                "crc": part.zip_crc32 is not None and bool(part.present),
            }
            for at, part in enumerate(found.parts)
        ],
        "checks": _checks(found),
        "fault": fault,
        "retry_at": found.job["runAt"]
        if found.job and found.job["state"] == "queued" and version.error_code
        else None,
        "job_id": found.job["id"] if found.job else "",
        "attempts": found.attempts,
        "mine": found.mine,
        "waiting": found.waiting,
        "targets": found.targets,
        "bootloader": reading.bootloader if reading else None,
        "facts": _facts(found),
        "pinned": bool(version.pinned),
        "zip_present": bool(version.zip_present) and version.state == "ready",
        "zip_name": version.filename.removesuffix(".enc4").removesuffix(".enc2"),
    }


def _stages(found: Card) -> list[dict[str, str]]:
    version = found.version
    at = {"queued": 0, "downloading": 1, "paused": 1, "verifying": 2, "ready": 4, "partial": 4}
    here = at.get(version.state, 1)
    bad = version.state == "failed"
    titles = (_("Asked"), _("Download"), _("Check"), _("Unpack"), _("Ready"))
    notes = ("", "", _("CRC, zip, MD5"), _count(len(found.parts)), "")
    looks = [
        "success"
        if n < here or here == 4
        else ("failed" if bad else "running")
        if n == here
        else ""
        for n in range(5)
    ]
    return [
        {"word": title, "look": look, "note": note}
        for title, look, note in zip(titles, looks, notes, strict=True)
    ]


def _count(parts: int) -> str:
    return ngettext("%(n)s part", "%(n)s parts", parts) if parts else ""


def _checks(found: Card) -> list[dict[str, str]]:
    """Each check with where its value came from."""
    version = found.version
    whole = version.state == "ready"
    present = [part for part in found.parts if part.present]
    with_md5 = [part for part in present if part.md5_ok is not None]
    crc_text = (
        _("%(crc)s, announced by Samsung", crc=f"{version.crc32:08x}")
        if version.crc32 is not None
        else _("not provided")
    )
    sent = version.content_md5
    return [
        {
            "look": "success" if whole and version.crc32 is not None else "planned",
            "word": _("CRC of the encrypted file"),
            "text": crc_text,
        },
        {
            "look": "planned",
            "word": _("MD5 of the encrypted file"),
            "text": _("%(md5)s, sent by Samsung's server, not computed here", md5=sent)
            if sent
            else _("not provided"),
        },
        {
            "look": "success" if present else "planned",
            "word": _("CRC of each part"),
            "text": _("%(n)s of %(all)s, from the archive", n=len(present), all=len(found.parts)),
        },
        {
            "look": "success" if with_md5 else "planned",
            "word": _("MD5 footers"),
            "text": _("%(n)s of %(all)s, in the parts", n=len(with_md5), all=len(present))
            if present
            else _("not checked"),
        },
    ]


def _facts(found: Card) -> list[tuple[str, str]]:
    version, reading = found.version, found.reading
    facts = [
        (_("Version"), version.version_code),
        (_("For"), "; ".join(f"{model} {csc}" for model, csc in found.targets[:6])),
        (_("System"), version.os_name or ""),
        (_("Bootloader"), str(reading.bootloader) if reading else ""),
        (_("Size"), fmt_size(version.size_bytes)),
        (_("File"), version.filename),
    ]
    return [(name, value) for name, value in facts if value]
