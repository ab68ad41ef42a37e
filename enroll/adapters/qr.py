"""segno: a ride code's bytes to a QR symbol."""

import io

import segno

from enroll.web.desk import Drawn


def draw(payload: bytes) -> Drawn:
    """Draw a symbol of error correction M with the quiet zone of four modules that readers need.

    Args:
        payload: The ride code.
    """
    symbol = segno.make(payload, mode="byte", error="m", micro=False, boost_error=False)
    png = io.BytesIO()
    symbol.save(png, kind="png", scale=8, border=4)
    svg = io.BytesIO()
    symbol.save(svg, kind="svg", border=4, omitsize=True, xmldecl=False, dark="#000", light="#fff")
    return Drawn(svg.getvalue().decode().strip(), png.getvalue())
