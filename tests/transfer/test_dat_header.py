import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.transfer import dat
from scripts.transfer.dat import DatError
from tests.transfer.synthetic_dat import make_dat, noise

# the published placements, by block, as an oracle that is independent of the table in the code:
# (first version, last version) -> "field:offset:type ..."
ORACLE = {
    (1, 10): "FileMagicNum:0:I FileVersion:4:H FileType:6:H SWdate:8:10s TimeStep:24:d ChanNum:32:B"
    " EightBit:33:B XResolution:100:I YResolution:104:I ZeissScanSpeed:111:B AI1:151:B AI2:152:B"
    " AI3:153:B AI4:154:B Notes:180:200s DetA:380:10s DetB:390:18s FileLength:1000:q",
    (1, 2): "DetC:700:20s DetD:720:20s Mag:408:d PixelSize:416:d WD:424:d EHT:432:d SEMApr:440:B"
    " HighCurrent:441:B SEMCurr:448:d SEMRot:456:d ChamVac:464:d GunVac:472:d SEMStiX:480:d"
    " SEMStiY:488:d SEMAlnX:496:d SEMAlnY:504:d StageX:512:d StageY:520:d StageZ:528:d StageT:536:d"
    " StageR:544:d StageM:552:d BrightnessA:560:d ContrastA:568:d BrightnessB:576:d ContrastB:584:d"
    " Mode:600:B FIBFocus:608:d FIBProb:616:B FIBCurr:624:d FIBRot:632:d FIBAlnX:640:d"
    " FIBAlnY:648:d FIBStiX:656:d FIBStiY:664:d FIBShiftX:672:d FIBShiftY:680:d",
    (
        1,
        3,
    ): "Oversampling:108:B AIDelay:109:h ScanRate:112:d FramelineRampdownRatio:120:d Xmin:128:d"
    " Xmax:136:d",
    (3, 10): "DetC:410:20s DetD:430:20s Mag:460:f PixelSize:464:f WD:468:f EHT:472:f SEMApr:480:B"
    " HighCurrent:481:B SEMCurr:490:f SEMRot:494:f ChamVac:498:f GunVac:502:f SEMShiftX:510:f"
    " SEMShiftY:514:f SEMStiX:518:f SEMStiY:522:f SEMAlnX:526:f SEMAlnY:530:f StageX:534:f"
    " StageY:538:f StageZ:542:f StageT:546:f StageR:550:f StageM:554:f BrightnessA:560:f"
    " ContrastA:564:f BrightnessB:568:f ContrastB:572:f Mode:600:B FIBFocus:604:f FIBProb:608:B"
    " FIBCurr:620:f FIBRot:624:f FIBAlnX:628:f FIBAlnY:632:f FIBStiX:636:f FIBStiY:640:f"
    " FIBShiftX:644:f FIBShiftY:648:f",
    (4, 10): "Oversampling:108:H ScanRate:112:f FramelineRampdownRatio:116:f Xmin:120:f Xmax:124:f"
    " Detmin:128:f Detmax:132:f DecimatingFactor:136:H",
    (
        5,
        10,
    ): "MillingXResolution:652:I MillingYResolution:656:I MillingXSize:660:f MillingYSize:664:f"
    " MillingULAng:668:f MillingURAng:672:f MillingLineTime:676:f FIBFOV:680:f"
    " MillingLinesPerImage:684:H MillingPIDOn:686:B MillingPIDMeasured:689:B MillingPIDTarget:690:f"
    " MillingPIDTargetSlope:694:f MillingPIDP:698:f MillingPIDI:702:f MillingPIDD:706:f"
    " MachineID:800:30s SEMSpecimenI:980:f",
    (6, 10): "Temperature:850:f FaradayCupI:854:f FIBSpecimenI:858:f BeamDump1I:862:f"
    " SEMSpecimenICurrent:866:f MillingYVoltage:870:f FocusIndex:874:f FIBSliceNum:878:I",
    (8, 10): "BeamDump2I:882:f MillingI:886:f",
    (9, 10): "Restart:68:B StageMove:69:B FirstX:70:i FirstY:74:i SampleID:155:25s",
}
FIXED = {
    "FileMagicNum": 3555587570,
    "ChanNum": 2,
    "EightBit": 0,
    "XResolution": 7,
    "YResolution": 5,
}


def value_for(offset, code):
    if code.endswith("s"):
        return f"t{offset}".encode()
    if code in "BHIhiq":
        return offset % 251 + 1
    return offset + 0.25


def synthetic(version):
    """A header with a value of its own in every field of `version`, and these values."""
    head, expected = bytearray(1024), {}
    for (first, last), block in ORACLE.items():
        for entry in block.split() if first <= version <= last else ():
            name, offset, code = entry.split(":")
            value = FIXED.get(name, value_for(int(offset), code))
            value = version if name == "FileVersion" else value
            struct.pack_into(f">{code}", head, int(offset), value)
            expected[name] = value.decode() if isinstance(value, bytes) else value
    scaling = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]
    struct.pack_into(">8d" if version == 1 else ">8f", head, 36, *scaling[0], *scaling[1])
    if version == 1:  # 64 bytes of doubles do not reach the next field
        assert 36 + 64 <= 100
    return bytes(head), expected | {"Scaling": scaling}


@pytest.mark.parametrize("version", range(1, 11))
def test_every_field_of_every_version_is_read_from_its_published_place(version):
    head, expected = synthetic(version)
    assert dat.parse_header(head, "x.dat") == expected


def test_a_later_version_is_read_as_version_ten():
    head, expected = synthetic(10)
    head = head[:4] + struct.pack(">H", 12) + head[6:]
    assert dat.parse_header(head, "x.dat") == expected | {"FileVersion": 12}


def test_scaling_has_one_row_per_channel_before_version_seven_and_two_rows_after():
    for version, rows in ((2, 1), (6, 1), (7, 2), (9, 2)):
        data = make_dat(np.zeros((3, 3, 1), np.int16), version=version)
        assert len(dat.parse_header(data, "x")["Scaling"]) == rows


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: d[:500], "expected a header of 1024 bytes, found 500"),
        (lambda d: b"", "expected a header of 1024 bytes, found 0"),
        (lambda d: b"\0" + d[1:], "expected magic number 3555587570 in bytes 0-3, found"),
        (lambda d: d[:4] + b"\0\0" + d[6:], "expected header version 1 or later"),
        (lambda d: d[:32] + b"\0" + d[33:], "expected 1 to 4 channels, found ChanNum 0"),
        (lambda d: d[:100] + bytes(4) + d[104:], "expected an image of at least 1 x 1 px"),
        (lambda d: d[:100] + b"\xff" * 8 + d[108:], "truncated: expected at least"),
        (lambda d: d[:3000], "truncated: expected at least 9024 bytes .* found 3000"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_file_expected_and_found(damage, words):
    good = make_dat(noise(0))
    with pytest.raises(DatError, match=f"tile.dat: .*{words}"):
        dat.parse(damage(good), "tile.dat")


def test_a_file_without_footer_is_whole():
    data = make_dat(noise(0), footer=b"")
    assert dat.parse(data, "x").footer == b""


def test_pixels_are_interleaved_by_channel():
    pixels = noise(1)
    assert np.array_equal(dat.parse(make_dat(pixels), "x").pixels, pixels)


def test_text_ends_at_its_first_nul_and_foreign_bytes_do_not_stop_the_reader():
    head = dat.parse_header(make_dat(noise(0), notes=b"30 \xb5m\0rest"), "x")
    assert head["Notes"] == "30 �m"


def test_inspect_names_an_absent_file(tmp_path):
    with pytest.raises(DatError, match="gone.dat: not readable: No such file"):
        dat.inspect(tmp_path / "gone.dat")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=1100), st.integers(0, 65535), st.booleans())
def test_arbitrary_bytes_are_parsed_or_refused_by_name(data, version, keep_magic):
    if keep_magic:
        data = struct.pack(">IH", 3555587570, version) + data + bytes(1024)
    message = "fuzz.dat: "
    try:
        dat.parse(data, "fuzz.dat")
    except DatError as error:
        message = str(error)
    assert message.startswith("fuzz.dat: ")


@pytest.mark.real
def test_the_real_sample_has_its_published_values(sample):
    tile = dat.parse(sample.read_bytes(), sample.name)
    expected = {
        "FileVersion": 9, "FileType": 1, "SWdate": "04/20/2021", "TimeStep": 4e-8, "ChanNum": 2,
        "EightBit": 0, "FirstX": -2625, "FirstY": -1326, "XResolution": 100, "YResolution": 100,
        "Oversampling": 8, "ZeissScanSpeed": 3, "ScanRate": 3.125e6, "DecimatingFactor": 16,
        "SampleID": "Z0720-07m_VNC_Sec06", "DetA": "InLens", "DetB": "ESB @ 600 V", "SEMApr": 30,
        "FIBFocus": 14100.0, "FIBProb": 15, "MillingXResolution": 4096, "FIBFOV": 500.0,
        "MillingYResolution": 26251, "MillingPIDMeasured": 3, "MachineID": "Jeiss8/Merlin-6284",
        "Temperature": 76.625, "FIBSliceNum": 7999, "FileLength": 41024, "Restart": 0,
    }  # fmt: skip
    assert {name: tile.header[name] for name in expected} == expected
    assert tile.header["PixelSize"] == pytest.approx(7.999856, abs=1e-6)
    assert tile.header["WD"] == pytest.approx(3.42096567, abs=1e-8)
    assert tile.pixels[0, :5, 0].tolist() == [3039, 2745, 2697, 2695, 2611]
    assert tile.pixels[-1, -5:, 1].tolist() == [-2724, -3490, -2906, -3038, -3566]
    assert tile.footer[:8].hex() == "18008000000000a9"
