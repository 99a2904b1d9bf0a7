"""The devices the stand-in knows, their releases and the few test IMEIs that kies accepts."""

from dataclasses import dataclass

# Region extras without which EUX and EUY are refused: (DEVICE_CC_CODE, MCC_NUM, MNC_NUM).
EXTRAS = {"EUX": ("DE", "262", "01"), "EUY": ("RS", "220", "01")}
OPEN, BETA, ANNOUNCED = "2", "3", "4"


@dataclass(frozen=True)
class Release:
    """One build. `opened` is yyyy/mm/dd hh:mm:ss, empty while only announced."""

    sequence: int
    pda: str
    csc: str
    phone: str
    os_name: str
    opened: str
    status: str = OPEN

    @property
    def version(self) -> str:
        """The four-part code, empty modem part filled."""
        return f"{self.pda}/{self.csc}/{self.phone or self.pda}/{self.pda}"

    @property
    def index(self) -> str:
        """BINARY_INDEX: 90 marks a beta."""
        return "90" if self.status == BETA else "1"

    @property
    def android(self) -> str:
        """The number in "B(Android 16)"."""
        return self.os_name.partition("Android ")[2].rstrip(")")


@dataclass(frozen=True)
class Device:
    """One model. `hidden` CSCs are absent from version.xml, `empty` ones there without a build."""

    model: str
    name: str
    csc: tuple[str, ...]
    releases: tuple[Release, ...]
    kind: str = "phone"
    enc: int = 4
    empty: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    imeis: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()

    @property
    def latest(self) -> Release:
        """The newest released build; betas and announcements do not count."""
        return max((r for r in self.releases if r.status == OPEN), key=lambda r: r.sequence)

    def find(self, version: str) -> Release | None:
        """The build of a version code written with two, three or four parts."""
        wanted = normal(version)
        return next((r for r in self.releases if r.version == wanted), None)


def normal(version: str) -> str:
    """Four parts, empty ones filled with the first; '' for what is no version code."""
    parts = version.strip().upper().split("/")
    if not 2 <= len(parts) <= 4 or not parts[0] or not parts[1]:
        return ""
    parts += [""] * (4 - len(parts))
    return "/".join([parts[0], parts[1], parts[2] or parts[0], parts[3] or parts[0]])


def luhn_ok(imei: str) -> bool:
    """True for 15 digits with a right check digit."""
    if len(imei) != 15 or not (imei.isascii() and imei.isdigit()):
        return False
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(imei))
    return sum(n // 10 + n % 10 for n in doubled) % 10 == 0


def find_device(model: str) -> Device | None:
    """The device of a model name, None for one nobody knows."""
    return DEVICES.get(model.strip().upper())


_S24 = Device(
    "SM-S921B",
    "Galaxy S24",
    ("EUX", "EUY", "DBT", "XEF", "INS"),
    (
        Release(11, "S921BXXU1AXBA", "S921BOXM1AXBA", "S921BXXU1AXB7", "U(Android 14)",
                "2024/02/27 03:12:44"),
        Release(14, "S921BXXS3AXG5", "S921BOXM3AXG5", "S921BXXS3AXG2", "U(Android 14)",
                "2024/07/22 06:40:10"),
        Release(19, "S921BXXU6BYC9", "S921BOXM6BYC9", "S921BXXU6BYC6", "V(Android 15)",
                "2025/04/07 02:21:33"),
        Release(26, "S921BXXUACYJ8", "S921BOXMACYJ8", "S921BXXUACYJ8", "B(Android 16)",
                "2025/10/20 04:55:02"),
        Release(31, "S921BXXSBCZD4", "S921BOXMBCZD4", "S921BXXSBCZD1", "B(Android 16)",
                "2026/05/04 05:01:07"),
        Release(32, "S921BXXSBCZE2", "S921BOXMBCZE2", "S921BXXSBCZE2", "B(Android 16)", "",
                ANNOUNCED),
        Release(3, "S921BXXUBZZE7", "S921BOXMBZZE7", "S921BXXUBZZE7", "Z(Android 99)",
                "2026/05/19 01:00:00", BETA),
    ),
    empty=("TPA",),
    # test IMEIs: type codes beginning with 001 are never given to a phone
    imeis=("001012340000011", "001012340000029"),
    serials=("RFDEMO000A1",),
)  # fmt: skip
_A14 = Device(
    "SM-A146P",
    "Galaxy A14 5G",
    ("EUX", "DBT", "SER"),
    (
        Release(9, "A146PXXU4BWK1", "A146POXM4BWK1", "A146PXXU4BWJ3", "T(Android 13)",
                "2023/12/04 09:30:00"),
        Release(15, "A146PXXS6CXK3", "A146POXM6CXK3", "A146PXXS6CXK1", "U(Android 14)",
                "2024/11/28 07:15:21"),
    ),
    imeis=("001012350000018",),
)  # fmt: skip
_TABLET = Device(
    "SM-X210",
    "Galaxy Tab A9+",
    ("DBT", "EUX"),
    (
        Release(5, "X210XXU2BXE1", "X210OXM2BXE1", "", "U(Android 14)", "2024/05/30 08:00:00"),
        Release(8, "X210XXS4CYF2", "X210OXM4CYF2", "", "V(Android 15)", "2025/07/01 08:00:00"),
    ),
    kind="tablet",
    serials=("R9DEMO000B2",),
)
_WATCH = Device(
    "SM-R930",
    "Galaxy Watch6",
    ("DBT", "XAA"),
    (
        Release(4, "R930XXU1BXG3", "R930OXX1BXG3", "R930XXU1BXG3", "Wear OS 5(Android 14)",
                "2024/08/05 08:00:00"),
    ),
    kind="watch",
)  # fmt: skip
_OLD = Device(
    "GT-I9300",
    "Galaxy S III",
    ("DBT", "XEO"),
    (
        Release(2, "I9300XXUGNB6", "I9300OXAGNB6", "I9300XXUGNA8", "J(Android 4.3)",
                "2014/03/11 08:00:00"),
    ),
    enc=2,
    imeis=("001012360000016",),
)  # fmt: skip
_VERIZON = Device(
    "SM-S928U",
    "Galaxy S24 Ultra",
    ("VZW", "ATT"),
    (
        Release(7, "S928USQS4BYD1", "S928UOYN4BYD1", "S928USQS4BYD1", "V(Android 15)",
                "2025/05/02 08:00:00"),
    ),
    hidden=("VZW", "ATT"),
    imeis=("001012370000014",),
)  # fmt: skip
DEVICES = {d.model: d for d in (_S24, _A14, _TABLET, _WATCH, _OLD, _VERIZON)}
