"""Header fields of the microscope: what each should do over z, its unit, and which belong together.

constant: a setting; more than one value is worth a look (each tile is compared with itself in the
layer before). varying: read anew for every layer or tile, plotted over z. Fields that belong
together (x and y, two beam dumps) share a plot.
"""

from __future__ import annotations

from dataclasses import dataclass

IGNORED = {"FileMagicNum", "FileLength", "dat_file_name", "channel_data_set_names"}

# title of the plot | unit | fields
VARYING = """
Working distance | mm | WD
Pixel size | nm | PixelSize
Magnification | | Mag
First pixel of the tile | px | FirstX FirstY
Stage x | mm | StageX
Stage y | mm | StageY
Stage z | mm | StageZ
Stage rotation | deg | StageR
SEM current | A | SEMCurr
SEM stigmation | % | SEMStiX SEMStiY
SEM alignment | % | SEMAlnX SEMAlnY
SEM shift | um | SEMShiftX SEMShiftY
Focus index | | FocusIndex
Chamber vacuum | mbar | ChamVac
Gun vacuum | mbar | GunVac
Temperature | deg F | Temperature
Specimen current, SEM | nA | SEMSpecimenI SEMSpecimenICurrent
Specimen current, FIB | nA | FIBSpecimenI
Faraday cup current | nA | FaradayCupI
Beam dump currents | nA | BeamDump1I BeamDump2I
Milling current | nA | MillingI
Milling voltage in y | V | MillingYVoltage
Milling PID, measured | | MillingPIDMeasured
FIB focus | V | FIBFocus
FIB current | nA | FIBCurr
FIB alignment | % | FIBAlnX FIBAlnY
FIB stigmation | % | FIBStiX FIBStiY
FIB shift | um | FIBShiftX FIBShiftY
FIB slice number | | FIBSliceNum
Restart and stage move | 0 or 1 | Restart StageMove
"""

# unit | fields
CONSTANT = """
 | FileVersion FileType SWdate ChanNum EightBit Scaling Mode SampleID Notes MachineID
 | Oversampling AIDelay ZeissScanSpeed FramelineRampdownRatio DecimatingFactor AI1 AI2 AI3 AI4
 | DetA DetB DetC DetD FIBProb HighCurrent
px | XResolution YResolution MillingXResolution MillingYResolution
s | TimeStep
Hz | ScanRate
V | Xmin Xmax Detmin Detmax
kV | EHT
um | SEMApr MillingXSize MillingYSize FIBFOV
deg | SEMRot FIBRot StageT MillingULAng MillingURAng
mm | StageM
% | BrightnessA ContrastA BrightnessB ContrastB
us | MillingLineTime
 | MillingLinesPerImage MillingPIDOn MillingPIDTarget MillingPIDTargetSlope MillingPIDP MillingPIDI
 | MillingPIDD
"""
TEXTS = {"SWdate", "SampleID", "Notes", "MachineID", "DetA", "DetB", "DetC", "DetD", "Scaling"}


@dataclass(frozen=True)
class Plotted:
    """Fields that share a plot."""

    title: str
    unit: str
    fields: tuple[str, ...]


def _plotted(line: str) -> Plotted:
    title, unit, fields = (part.strip() for part in line.split("|"))
    return Plotted(title, unit, tuple(fields.split()))


PLOTS = tuple(_plotted(line) for line in VARYING.strip("\n").splitlines())
UNITS = {
    field: unit.strip()
    for unit, _, fields in (line.partition("|") for line in CONSTANT.strip("\n").splitlines())
    for field in fields.split()
}
CONSTANTS = tuple(UNITS)
UNITS |= {field: plot.unit for plot in PLOTS for field in plot.fields}
NUMBERS = tuple(field for field in UNITS if field not in TEXTS)
LISTED = IGNORED | set(UNITS)
