"""Pictures of the plane that the reader moves: they compute in the page, without a kernel."""


class Explorer:
    """To come."""
