"""The devices a driver can appear as: our own honest one, and the presets a person may choose."""

from typing import Final

import msgspec

# Reduced user agents as the browsers of November 2026 send them; looked over at each release.
_CHROME: Final = "Chrome/156.0.0.0"
_WEBKIT: Final = "AppleWebKit/537.36 (KHTML, like Gecko)"
_SAFARI: Final = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0"
_IOS: Final = "CPU iPhone OS 18_6 like Mac OS X"

DEFAULT: Final = "holdfast"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One device. What a driver cannot honour it ignores and names (`ignored_by`)."""

    name: str
    user_agent: str
    viewport_width: int = 1366
    viewport_height: int = 768
    locale: str = "de-DE"
    timezone: str = "Europe/Berlin"
    is_mobile: bool = False
    has_touch: bool = False
    device_scale_factor: float = 1
    latitude: float | None = None
    longitude: float | None = None
    own: bool = False

    @property
    def accept_language(self) -> str:
        """The header a browser of this locale sends: `de-DE,de;q=0.9,en;q=0.8`."""
        language = self.locale.partition("-")[0].lower()
        wanted = [self.locale]
        wanted += [language] * (language != self.locale)
        wanted += ["en"] * (language != "en")
        return ",".join(
            tag if index == 0 else f"{tag};q={1 - index / 10:.1f}"
            for index, tag in enumerate(wanted)
        )


def _phone(name: str, agent: str, width: int, height: int, locale: str, zone: str) -> Profile:
    return Profile(
        name=name,
        user_agent=agent,
        viewport_width=width,
        viewport_height=height,
        locale=locale,
        timezone=zone,
        is_mobile=True,
        has_touch=True,
        device_scale_factor=3,
    )


HONEST: Final = Profile(
    name=DEFAULT, user_agent="Mozilla/5.0 (compatible; Holdfast; semester ticket of its own user)"
)

_PRESETS: Final = (
    HONEST,
    Profile(
        name="desktop_chrome",
        user_agent=f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} {_CHROME} Safari/537.36",
        locale="en-US",
    ),
    _phone(
        "mobile_android",
        f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT} {_CHROME} Mobile Safari/537.36",
        *(412, 915, "en-US", "Europe/Berlin"),
    ),
    _phone(
        "iphone_13",
        f"Mozilla/5.0 (iPhone; {_IOS}) {_SAFARI} Mobile/15E148 Safari/604.1",
        *(390, 844, "en-US", "Europe/Berlin"),
    ),
    _phone(
        "tablet_ipad",
        f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {_SAFARI} Mobile/15E148 Safari/604.1",
        *(1024, 1366, "en-US", "Europe/Berlin"),
    ),
    Profile(
        name="desktop_firefox",
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:158.0) Gecko/20100101 Firefox/158.0",
        viewport_width=1440,
        viewport_height=900,
    ),
    Profile(
        name="mac_safari",
        user_agent=f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_SAFARI} Safari/605.1.15",
        viewport_width=1400,
        viewport_height=900,
        locale="en-GB",
        timezone="Europe/London",
    ),
    _phone(
        "android_galaxy",
        f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT} {_CHROME} Mobile Safari/537.36",
        *(384, 832, "de-DE", "Europe/Berlin"),
    ),
    _phone(
        "iphone_15_pro",
        f"Mozilla/5.0 (iPhone; {_IOS}) {_SAFARI} Mobile/15E148 Safari/604.1",
        *(393, 852, "en-US", "America/New_York"),
    ),
)
PRESETS: Final[dict[str, Profile]] = {profile.name: profile for profile in _PRESETS}

# Fields of a device profile that the http driver cannot honour.
IGNORED_BY_HTTP: Final = (
    *("viewport_width", "viewport_height", "is_mobile", "has_touch", "device_scale_factor"),
    *("timezone", "geolocation_latitude", "geolocation_longitude"),
)
PROXY_SCHEMES: Final[dict[str, frozenset[str]]] = {
    "http": frozenset({"http", "https", "socks5", "socks5h"}),
    "browser": frozenset({"http", "https", "socks4", "socks5", "socks5h"}),
}


def works_with(scheme: str, *, with_login: bool) -> tuple[str, ...]:
    """The drivers that can use such a proxy: Chromium takes no login for a socks one."""
    browser_too = not (with_login and scheme.startswith("socks"))
    return tuple(
        driver
        for driver, schemes in PROXY_SCHEMES.items()
        if scheme in schemes and (driver == "http" or browser_too)
    )


def find_preset(name: str | None) -> Profile | None:
    """The preset of this name; None for an unknown one."""
    return PRESETS.get(name or DEFAULT)
