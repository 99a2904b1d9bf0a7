"""Every page of accounts, for the one list of domains."""

from app.accounts.pages.account import AccountPages
from app.accounts.pages.doors import SetupPages, SignInPages
from app.accounts.pages.invites import InvitePages
from app.accounts.pages.join import JoinPages
from app.accounts.pages.my_data import MyDataPages
from app.accounts.pages.passkeys import PasskeyDoorPages, PasskeyPages
from app.accounts.pages.passwordless import PasskeyAlonePages
from app.accounts.pages.reset import ResetPages
from app.accounts.pages.second import ConfirmPages, SecondPages
from app.accounts.pages.security import SecurityPages
from app.accounts.pages.system import SystemPages
from app.accounts.pages.tokens import TokenPages
from app.accounts.pages.trail import TrailPages, VaultPages
from app.accounts.pages.users import UserPages

PAGES = (
    SignInPages,
    PasskeyAlonePages,
    SecondPages,
    PasskeyDoorPages,
    SetupPages,
    JoinPages,
    ResetPages,
    AccountPages,
    ConfirmPages,
    SecurityPages,
    PasskeyPages,
    TokenPages,
    MyDataPages,
    InvitePages,
    UserPages,
    TrailPages,
    VaultPages,
    SystemPages,
)
