"""Words of the portals' own pages, in the languages they speak. Data, not translations of ours."""

from typing import Final

ACCEPT: Final = frozenset(
    {
        *("accept", "i accept", "agree", "i agree", "continue", "proceed", "confirm", "ok"),
        *("akzeptieren", "annehmen", "zustimmen", "ich stimme zu", "einverstanden", "weiter"),
        *("fortfahren", "bestätigen", "принять", "принимаю", "согласен", "согласиться"),
        *("продолжить", "подтвердить", "aceptar", "acepto", "de acuerdo", "continuar", "confirmar"),
    }
)
REJECT: Final = frozenset(
    {
        *("reject", "refuse", "decline", "cancel", "ablehnen", "abbrechen", "nicht zustimmen"),
        *("отклонить", "отказаться", "отмена", "rechazar", "cancelar"),
    }
)
MAINTENANCE: Final = (
    *("wartung", "maintenance", "vorübergehend nicht verfügbar", "temporarily unavailable"),
    *(
        "техническое обслуживание",
        "временно недоступ",
        "mantenimiento",
        "no disponible temporalmente",
    ),
)
LOCKED: Final = (
    *("locked", "gesperrt", "too many failed", "zu viele fehl", "blocked", "disabled"),
    *("заблокирован", "bloquead", "deaktiviert"),
)
EXPIRED: Final = (
    *("password has expired", "password is expired", "expired password", "kennwort ist abgelaufen"),
    *("passwort ist abgelaufen", "kennwort abgelaufen", "passwort abgelaufen", "password expired"),
    *("срок действия пароля", "contraseña ha caducado", "contraseña caducada"),
)
# Headings of the identity provider's own error pages (Shibboleth's error.vm and translations).
IDP_ERROR: Final = (
    *("stale request", "web login service - error", "web login service - unsupported request"),
    *(
        "unable to respond",
        "missing cookie",
        "cookies required",
        "unknown application",
        "login failure",
    ),
    *("veraltete anfrage", "ungültige anfrage", "anmeldedienst - fehler", "cookies erforderlich"),
    *("request is stale", "session expired", "sitzung abgelaufen", "unbekannter dienst"),
)

# Each month with the forms a page may write: nominative, genitive, short.
MONTHS: Final = (
    ("januar", "jänner", "january", "январь", "января", "enero", "jan"),
    ("februar", "february", "февраль", "февраля", "febrero", "feb"),
    ("märz", "march", "март", "марта", "marzo", "mär", "mar"),
    ("april", "апрель", "апреля", "abril", "apr"),
    ("mai", "may", "май", "мая", "mayo"),
    ("juni", "june", "июнь", "июня", "junio", "jun"),
    ("juli", "july", "июль", "июля", "julio", "jul"),
    ("august", "август", "августа", "agosto", "aug"),
    ("september", "сентябрь", "сентября", "septiembre", "sept", "sep"),
    ("oktober", "october", "октябрь", "октября", "octubre", "okt", "oct"),
    ("november", "ноябрь", "ноября", "noviembre", "nov"),
    ("dezember", "december", "декабрь", "декабря", "diciembre", "dez", "dec"),
)
VALIDITY: Final = ("gültig", "valid", "действ", "válid", "geltung", "vigencia")
VALID_FROM: Final = (
    *("gültig von", "gültig ab", "gültigkeit von", "gültigkeit ab", "gültigkeitsbeginn", "gilt ab"),
    *("valid from", "valid since", "действителен с", "действует с", "válido desde", "válido del"),
)
VALID_TO: Final = (
    *("gültig bis", "gültigkeit bis", "gültigkeitsende", "gilt bis", "valid until", "valid to"),
    *("valid through", "valid till", "действителен до", "действителен по", "действует до"),
    *("válido hasta", "expires", "läuft ab"),
)
RANGE: Final = (
    *(
        "-",
        "–",
        "—",
        "bis",
        "bis zum",
        "to",
        "until",
        "till",
        "through",
        "по",
        "до",
        "hasta",
        "al",
        "a",
    ),
)
HOLDER: Final = (
    *("name", "inhaber", "inhaberin", "inhaber/in", "ticketinhaber", "ticketinhaber/in", "holder"),
    *("ticket holder", "owner", "имя", "владелец", "titular", "nombre", "vor- und nachname"),
)
NUMBER: Final = (
    *("ticketnummer", "ticket-nummer", "ticket-nr", "ticket-nr.", "ticketnr.", "ticket number"),
    *("ticket no", "ticket no.", "ticket id", "номер билета", "número de billete", "nummer"),
)
BIRTH: Final = (
    *("geburtsdatum", "geboren am", "geb.", "date of birth", "birth date", "born", "дата рождения"),
    *("fecha de nacimiento",),
)
ISSUED: Final = (
    *("ausgestellt am", "ausgestellt", "ausgabedatum", "issued", "issued on", "date issued"),
    *("дата выдачи", "fecha de emisión", "emitido"),
)
REGION: Final = (
    *("geltungsbereich", "gültigkeitsbereich", "region", "area", "area of validity", "зона"),
    *("зона действия", "ámbito", "zona"),
)
