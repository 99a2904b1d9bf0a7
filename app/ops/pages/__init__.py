"""The pages of operations."""

from app.ops.pages.home import DashboardPages, PatternPages
from app.ops.pages.job import JobPages
from app.ops.pages.jobs import JobsPages
from app.ops.pages.mine import MyJobPages
from app.ops.pages.queue import QueuePages
from app.ops.pages.shell import NoticePages, PalettePages, ShellPages
from app.ops.pages.steering import SteeringPages
from app.ops.pages.targets import AdminTargetPages, TargetPages
from app.ops.pages.worker import WorkerPages

PAGES = (
    DashboardPages,
    QueuePages,
    JobsPages,
    JobPages,
    WorkerPages,
    SteeringPages,
    MyJobPages,
    PatternPages,
    ShellPages,
    NoticePages,
    PalettePages,
    TargetPages,
    AdminTargetPages,
)
