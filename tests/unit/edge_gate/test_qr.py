"""Ride codes survive the way through a symbol, a display and a camera."""

import cv2
import numpy as np
import pytest

from edge_gate.adapters.qr import ZxingReader
from edge_gate.face import Image
from edge_gate.ride_code import CODE_BYTES
from enroll.adapters.qr import draw

RNG = np.random.default_rng(7)
PAYLOAD = RNG.bytes(CODE_BYTES)


def _symbol(payload: bytes, *, module_px: float) -> Image:
    """Draw a symbol as the app does, scaled to so many pixels a module."""
    drawn = cv2.imdecode(np.frombuffer(draw(payload).png, np.uint8), cv2.IMREAD_COLOR)
    scale = module_px / 8
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=way), np.uint8)


def _picture(
    *symbols: Image, noise: float = 6, blur: float = 0, turn: float = 0, light: float = 1
) -> Image:
    """Hold symbols before a camera of 1280 x 720."""
    picture = np.full((720, 1280, 3), 90, np.uint8)
    for number, symbol in enumerate(symbols):
        side = symbol.shape[0]
        left = 40 + number * (side + 40)
        picture[100 : 100 + side, left : left + side] = symbol
    if turn:
        around = cv2.getRotationMatrix2D((300, 300), turn, 1)
        picture = np.asarray(cv2.warpAffine(picture, around, (1280, 720)), np.uint8)
    if blur:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.uint8)
    seen = picture * light + RNG.normal(0, noise, picture.shape)
    return np.asarray(seen.clip(0, 255), np.uint8)


class TestZxingReader:
    """Reading."""

    @pytest.mark.parametrize(
        ("module_px", "noise", "blur", "turn", "light"),
        [
            (8, 0, 0, 0, 1),  # as drawn
            (2.5, 6, 0, 0, 1),  # far away
            (5, 25, 0, 0, 1),  # a noisy camera in the dark
            (5, 6, 2.2, 0, 1),  # out of focus
            (5, 6, 1, 12, 1),  # tilted
            (5, 6, 1, 90, 1),  # lying on its side
            (5, 6, 1, 180, 1),  # upside down
            (5, 4, 0, 0, 0.25),  # a dimmed display
            (10, 6, 3, 5, 0.7),  # near, blurred, tilted
        ],
    )
    def test_reads_byte_for_byte(
        self, module_px: float, noise: float, blur: float, turn: float, light: float
    ) -> None:
        """A ride code comes out of the picture exactly as it went in."""
        symbol = _symbol(PAYLOAD, module_px=module_px)
        picture = _picture(symbol, noise=noise, blur=blur, turn=turn, light=light)

        assert ZxingReader().read(picture) == (PAYLOAD,)

    @pytest.mark.parametrize("byte", [0x00, 0x0A, 0x80, 0xEF, 0xFF])
    def test_every_byte_value_survives(self, byte: int) -> None:
        """Zeros, line ends and bytes that are not text are not translated."""
        payload = bytes([byte]) * CODE_BYTES

        assert ZxingReader().read(_picture(_symbol(payload, module_px=5))) == (payload,)

    def test_reads_two_phones(self) -> None:
        """Two codes in one picture are both returned, each once."""
        other = RNG.bytes(CODE_BYTES)
        picture = _picture(_symbol(PAYLOAD, module_px=5), _symbol(other, module_px=5))

        assert set(ZxingReader().read(picture)) == {PAYLOAD, other}

    def test_sees_nothing_in_noise(self) -> None:
        """A picture without a symbol gives nothing."""
        assert ZxingReader().read(_picture(noise=40)) == ()

    def test_reads_inverted_codes_a_little_later(self) -> None:
        """A dark-mode display, light on dark, is read with the second picture if asked so."""
        symbol = 255 - _symbol(PAYLOAD, module_px=5)
        reader = ZxingReader(thorough_every=2)
        picture = _picture(symbol)

        assert [reader.read(picture), reader.read(picture)] == [(), (PAYLOAD,)]

    def test_a_spoiled_symbol_is_not_guessed(self) -> None:
        """With a third of its modules covered a symbol gives nothing rather than wrong bytes."""
        symbol = _symbol(PAYLOAD, module_px=6)
        side = symbol.shape[0]
        symbol[side // 3 : 2 * side // 3, side // 3 :] = 0
        reader = ZxingReader(thorough_every=1)

        assert reader.read(_picture(symbol)) == ()

    def test_refuses_no_rhythm(self) -> None:
        """A reader that is never thorough is refused."""
        with pytest.raises(ValueError):
            ZxingReader(thorough_every=0)
