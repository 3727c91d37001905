"""Further wordings of place, side, what is clear, doubt and history, each a way in which clinicians write."""

import pytest

RU, RM, RL = "upper right lung", "middle right lung", "lower right lung"
LU, LM, LL = "upper left lung", "middle left lung", "lower left lung"
RUM, RML, RUL, R = "upper middle right lung", "middle lower right lung", "upper lower right lung", "all right lung"
LUM, LML, LUL, L = "upper middle left lung", "middle lower left lung", "upper lower left lung", "all left lung"

CASES = {
    "costophrenic": [
        ("Consolidation in the right costophrenic region.", RL),
        ("Patchy opacity, left costophrenic area.", LL),
        ("GGO in both costophrenic regions.", f"{RL} and {LL}"),
        ("Infiltrate near the left costophrenic recess.", LL),
        ("Haze adjacent to the right lateral costophrenic recess.", RL),
        ("Shadowing above each hemidiaphragm.", f"{RL} and {LL}"),
        ("Right base opacity. Left costophrenic angle is sharp.", RL),
        ("Apical infiltrate on the right and a costophrenic one on the left.", f"{RU} and {LL}"),
    ],
    "from here to there": [
        ("Right-sided opacity from the hilum downwards.", RML),
        ("The left lung is consolidated from hilum to base.", LML),
        ("Opacity of the left lung from the clavicle to the hilum.", LUM),
        ("Both lungs are hazy from the level of the hila downward.", f"{RML} and {LML}"),
        ("Consolidation of the right lung below the aortic arch.", RML),
        ("Left lung opacified below the upper zone.", LML),
        ("The right lung is infiltrated above the base.", RUM),
        ("Consolidation on the left, from apex to hilum.", LUM),
        ("Right lung white all the way down.", R),
    ],
    "wholes": [
        ("White right lung.", R),
        ("White left lung. Right lung clear.", L),
        ("Bilateral white lungs.", f"{R} and {L}"),
        ("Total involvement of the left lung.", L),
        ("Total right lung consolidation.", R),
        ("No aerated left lung.", L),
        ("The right lung shows no aerated zone.", R),
        ("Hardly any aerated lung on the left.", L),
        ("On the right no part of the lung escapes.", R),
        ("The left lung is opacified in full.", L),
        ("Left lung airless throughout.", L),
        ("Right lung: every zone consolidated.", R),
        ("R lung globally opacified, L base only.", f"{R} and {LL}"),
    ],
    "what is clear": [
        ("Left apical and basal consolidation, skipping the mid zone.", LUL),
        ("Right upper and mid zone opacity with a clean base.", RUM),
        ("Left basal consolidation, stopping short of the mid zone.", LL),
        ("Right basal pneumonia. Nothing abnormal contralaterally.", RL),
        ("Right basal pneumonia. Everything else is normal.", RL),
        ("Right basal pneumonia. Above it the right lung is clear.", RL),
        ("Left upper zone consolidation. Below it the left lung is clean.", LU),
        ("Left upper lobe pneumonia. The bases ventilate well.", LU),
        ("The left apex is affected, the left base is not.", LU),
        ("Right apex and mid zone consolidated, base not.", RUM),
        ("Left mid zone infiltrate; the remaining left lung is clean.", LM),
        ("Right base opacity, right apex uninvolved.", RL),
        ("Left lung: apex aerated, mid zone and base consolidated.", LML),
        ("Patchy opacities. Two on the left, apical and basal, the mid zone being clear.", LUL),
        ("Infiltrates. One on the right, in the base, with normal upper zones.", RL),
    ],
    "sides, and sides that go on": [
        ("Opacities. Right: perihilar. Left: basal.", f"{RM} and {LL}"),
        ("Two infiltrates. One lies above the left hemidiaphragm, one at the right apex.", f"{RU} and {LL}"),
        ("Symmetrical basal opacities.", f"{RL} and {LL}"),
        ("Symmetric perihilar haze.", f"{RM} and {LM}"),
        ("Right low zone patch of consolidation.", RL),
        ("Supra-hilar opacity on the left.", LU),
        ("Upper zone opacity on the right and lower zone opacity on the left.", f"{RU} and {LL}"),
        ("Apical shadowing on the left and basal shadowing on the right.", f"{RL} and {LU}"),
        ("Mid zone consolidation on the right and a basal one on the left.", f"{RM} and {LL}"),
        ("Rt base consol. Lt base consol.", f"{RL} and {LL}"),
    ],
    "kinds of words": [
        ("Alveolar filling in the right lower lobe.", RL),
        ("Alveolar syndrome of the left base.", LL),
        ("Left lower lobe consol.", LL),
        ("Right lung with compromise of the base.", RL),
        ("Peripheral densities in the left mid zone.", LM),
        ("The right base is replaced by opaque lung.", RL),
    ],
    "doubt and history": [
        ("Possible consolidation at the left base.", LL),
        ("Right lower lobe opacity, cannot exclude pneumonia.", RL),
        ("Left basal opacity has disappeared. New right apical opacity.", RU),
        ("Right basal pneumonia has gone. Now left basal consolidation.", LL),
        ("Previous right basal consolidation has vanished. Left mid zone opacity persists.", LM),
        ("Left lower lobe consolidation, unchanged from prior study.", LL),
        ("Left mid zone infiltrate, worse than before.", LM),
        ("No consolidation on the right. Left basal infiltrate.", LL),
        ("There is no left-sided opacity; right basal haze is seen.", RL),
        ("Likely right middle lobe pneumonia.", RM),
        ("Lungs clear but for a left apical infiltrate.", LU),
    ],
    "where both lungs are worse": [
        ("Bilateral opacities, more prominent in the right upper lobe.", "right lung and left lung"),
        ("Infiltrates in both lungs, especially at the left base.", "right lung and left lung"),
        ("Multiple bilateral opacities, including a rounded one in the right lower zone.", "right lung and left lung"),
        ("Bilateral opacities, most marked in the lower zones.", f"{RL} and {LL}"),
        ("Right lung opacity, most marked in the lower zone.", RL),
    ],
    "where it does not lie": [
        ("C-reactive protein 45 mg/L, white cell count normal. Right basal opacity.", RL),
        ("CRP 71 IU/L. Lymphocytes 0.5 x109/L. Left apical opacity.", LU),
        ("R/L basal opacities.", f"{RL} and {LL}"),
        ("Right mid zone opacity, minor fissure at its lower edge.", RM),
        ("Low lung volumes. Left basal opacity.", LL),
        ("Low inspiratory effort. Right apical opacity.", RU),
        ("Hila symmetrical. Right basal opacity.", RL),
        ("PICC via the right arm. Consolidation at the left base.", LL),
    ],
}


@pytest.mark.parametrize(("text", "expected"), [case for cases in CASES.values() for case in cases])
def test_wording_is_read(text, expected, places_of):
    assert places_of(text) == expected
