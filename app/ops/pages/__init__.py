"""The pages of operations."""

from app.ops.pages.home import DashboardPages, PatternPages
from app.ops.pages.jobs import JobPages, MyJobPages
from app.ops.pages.queue import QueuePages
from app.ops.pages.steering import SteeringPages

PAGES = (DashboardPages, QueuePages, JobPages, SteeringPages, MyJobPages, PatternPages)
