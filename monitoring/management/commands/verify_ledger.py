"""``manage.py verify_ledger``: whether every slot of a span has exactly its row."""

from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from domains.clock import database_now
from monitoring.models import Location, Tick
from monitoring.verification import verify

_FORM: Final = "of RFC 3339, such as 2026-11-23T12:00:00Z"


def _instant(option: str, text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    words = f"{option} {text} is no instant with a time zone: write one {_FORM}"
    raise CommandError(words, returncode=2)


class Command(BaseCommand):
    """Exit status 0: the ledger holds. 1: it does not, and the first violation is printed."""

    help = "Verify that every slot that was due has exactly one row, and that no other has."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a span and a location."""
        parser.add_argument("--from", dest="start", help=f"{_FORM}; default: the first tick")
        parser.add_argument("--to", dest="end", help=f"{_FORM}; default: now")
        parser.add_argument("--location", help="the name of one location; default: all")

    def handle(self, **options: Any) -> None:
        """Print what was verified.

        Raises:
            CommandError: the ledger does not hold, or an option makes no sense.
        """
        oldest = Tick.objects.order_by("instant").first()
        end = database_now() if options["end"] is None else _instant("--to", options["end"])
        start = oldest.instant if oldest else end - timedelta(days=1)
        if options["start"] is not None:
            start = _instant("--from", options["start"])
        if end <= start:
            raise CommandError("--to must be later than --from", returncode=2)
        place = None
        if options["location"] is not None:
            place = Location.objects.filter(name=options["location"]).first()
            if place is None:
                raise CommandError(f"there is no location {options['location']}", returncode=2)
        due = 0
        for progress in verify(start, end, location_id=None if place is None else place.pk):
            if progress.violation is not None:
                raise CommandError(f"the ledger does not hold: {progress.violation}")
            due += progress.due
        self.stdout.write(f"The ledger holds from {start.isoformat()} to {end.isoformat()}.")
        if place is None:
            self.stdout.write(f"{due} slots were due.")
