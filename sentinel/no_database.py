"""What a command says where its database does not answer: what is wrong, and the cure."""

from django.db import Error, OperationalError, ProgrammingError

from sentinel.environment import read_environment


def words_of(error: Error) -> str:
    """Return a sentence without its end on what the database failed with."""
    environment = read_environment()
    reason = str(error).partition("\n")[0]
    if environment.DATABASE_URL is None and isinstance(error, OperationalError):
        folder = environment.SENTINEL_DATA_DIR.absolute()
        return (
            f"no Sentinel runs in the folder {folder}: start it with `sentinel up`, or say by "
            f"SENTINEL_DATA_DIR or DATABASE_URL where it is ({reason})"
        )
    if isinstance(error, ProgrammingError):
        return f"the database is not as this version has it: run `sentinel init` ({reason})"
    return f"the database failed: {reason}"
