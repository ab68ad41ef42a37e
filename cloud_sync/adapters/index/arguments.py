"""The arguments by which an index is chosen, apart from the indexes: those take a while to load."""

import argparse


def add_choice(command: argparse.ArgumentParser) -> None:
    """Add the arguments that `choice.chosen_index` reads.

    Args:
        command: Of a process that searches the master gallery.
    """
    command.add_argument(
        "--milvus", default="", help="URI of a Milvus server to search in, not in this process"
    )
    command.add_argument(
        "--collection",
        type=_identifier,
        default="gateline",
        help="beginning of its names there, one a process",
    )


def _identifier(text: str) -> str:
    if not text.isidentifier():
        raise argparse.ArgumentTypeError("letters, digits and underscores only")
    return text
