"""List the runs and truths that can be evaluated."""

from retinue_history.db.connections import Connection


def detectors_with_runs(connection: Connection) -> list[str]:
    """Return the names of detectors that recorded their configuration, in order."""
    rows = connection.execute("SELECT DISTINCT detector FROM detector_configurations ORDER BY 1")
    return [name for (name,) in rows]
