"""Layouts and manners of whole reports: forms, headings, what is said of the rest, dictation without full stops."""

import pytest

from tmca_core.report import parse_report

RU, RM, RL = "upper right lung", "middle right lung", "lower right lung"
LU, LM, LL = "upper left lung", "middle left lung", "lower left lung"
RUM, RML, RUL, R = "upper middle right lung", "middle lower right lung", "upper lower right lung", "all right lung"
LUM, LML, LUL, L = "upper middle left lung", "middle lower left lung", "upper lower left lung", "all left lung"

CASES = {
    "forms": [
        (
            "RIGHT LUNG: upper - clear; mid - opacity; lower - opacity.\nLEFT LUNG: upper - clear; "
            "mid - clear; lower - infiltrate.",
            f"{RML} and {LL}",
        ),
        (
            "R: upper clear, mid clear, lower consolidation\nL: upper consolidation, mid clear, lower clear",
            f"{RL} and {LU}",
        ),
        ("Left lung: upper zone - no opacity; mid zone - opacity; lower zone - no opacity. Right lung: clear.", LM),
        ("LUNGS, LEFT: apex - opacity: yes. mid zone - opacity: yes. base - opacity: no.", LUM),
        (
            "Right lung\nUpper zone: clear\nMid zone: clear\nLower zone: consolidation\nLeft "
            "lung\nUpper zone: clear\nMid zone: clear\nLower zone: clear",
            RL,
        ),
        (
            "RUZ: clear. RMZ: clear. RLZ: consolidation. LUZ: clear. LMZ: consolidation. LLZ: consolidation.",
            f"{RL} and {LML}",
        ),
        (
            "Opacity present: right upper zone - no, right mid zone - no, right lower zone - yes, "
            "left upper zone - no, left mid zone - no, left lower zone - no",
            RL,
        ),
        ("Left - upper zone: infiltrate. Middle zone: infiltrate. Lower zone: clear. Heart normal.", LUM),
        ("Right lung: consolidation, upper, mid and lower zones. Left lung: clear.", R),
    ],
    "headings": [
        ("Clinical details: fever, cough.\nConsolidation in the left lower zone. Heart normal.", LL),
        ("Indication: ?pneumonia\nPatchy opacity at the right apex.\nConclusion: right upper zone pneumonia.", RU),
        ("Comparison: last week. Left mid zone opacity, stable. Right lung clear.", LM),
        ("Technique: AP supine.\nRight lung: consolidation in the mid zone.\nLeft lung: clear.", RM),
        ("HISTORY: right lower lobe pneumonia last year.\nFINDINGS: Left apical opacity.", LU),
    ],
    "the rest": [
        ("Right base opacity. The rest of the right lung is fine and the left lung is clear.", RL),
        ("Left mid zone consolidation. All other zones are without infiltrate.", LM),
        ("Left apical infiltrate, nothing else in that lung, right lung clear.", LU),
        ("Consolidation right mid zone. Other zones clear.", RM),
        ("Opacity at the left base; remainder of both lungs clear.", LL),
        ("Opacity in the right upper zone and nothing elsewhere.", RU),
        ("There is a patch in the left lower zone. Remaining zones on the left are clear, right lung is clear.", LL),
    ],
    "nothing there": [
        (
            "Opacities. Left: two in the upper zone, nothing in the mid or lower zones. Right: one "
            "at the base, nothing above.",
            f"{RL} and {LU}",
        ),
        ("Two infiltrates on the left, in the mid and lower zones, none at the apex.", LML),
        ("Consolidation at the right apex, nothing at the right base.", RU),
        ("Right: upper and mid zone opacity, nothing at the base.", RUM),
        ("Left mid zone infiltrate, nothing on the right.", LM),
        ("Opacities left upper zone, nil at left base.", LU),
    ],
    "not the": [
        ("Consolidation of the right lung, the upper and middle parts, not the lower.", RUM),
        ("Left lung shows opacity in its superior part, not in the inferior.", LU),
        ("Opacities in the middle and inferior parts of the right lung but not the superior part.", RML),
        ("Infiltrates of the left upper and lower zones, not the mid zone.", LUL),
    ],
    "spared": [
        ("Opacity throughout the right lung with the mid zone spared.", RUL),
        ("Right lung consolidated except the mid zone.", RUL),
        ("Left lung opacified, with sparing of the base.", LUM),
        ("Left lung opacity with relative normality of the apex.", LML),
        ("Two on the right, upper and lower, with the mid zone of the right lung spared. Opacities infective.", RUL),
        ("Consolidation of the left lung in its full height.", L),
        ("R lung all zones + L apex. L mid and base spared.", f"{R} and {LU}"),
        ("L apex + L base. L mid zone spared.", LUL),
        ("R lung: opacity mid + lower, apex clear.", RML),
    ],
    "dictated without full stops": [
        ("consolidation in the left apex and mid zone the left base is clear", LUM),
        ("on the right there's opacity at the apex and base the right mid zone is clear the left lung is clear", RUL),
        ("left lung is whited out not changed from before there's a patch at the right base", f"{RL} and {L}"),
        (
            "opacity at the right base which is new, similar to prior on the left where the mid zone is opacified",
            f"{RL} and {LM}",
        ),
        ("right mid zone opacity the rest of the right lung is fine the left lung is fine", RM),
    ],
    "lists": [
        ("Right mid zone opacity stable. Left upper zone and mid zone opacity larger.", f"{RM} and {LUM}"),
        ("Consolidation in the right upper zone and right lower zone and left mid zone.", f"{RUL} and {LM}"),
        ("COVID swab positive. Opacity in the left lower zone.", LL),
        ("Two in the right upper zone and one in the left lower zone. Patchy opacities.", f"{RU} and {LL}"),
        (
            "Right lung: upper, mid and lower zones consolidated. Left lung: upper and mid zones "
            "consolidated, base clear.",
            f"{R} and {LUM}",
        ),
    ],
    "several manners": [
        (
            "RIGHT LUNG\n- Upper: normal\n- Middle: airspace opacity\n- Lower: airspace "
            "opacity\nLEFT LUNG\n- Upper: normal\n- Middle: normal\n- Lower: normal",
            RML,
        ),
        (
            "Rt lung - UZ clear, MZ clear, LZ consolidation. Lt lung - UZ consolidation, MZ consolidation, LZ clear.",
            f"{RL} and {LUM}",
        ),
        ("Lungs: Right - opacity in mid zone. Left - opacity in lower zone.", f"{RM} and {LL}"),
        ("Left upper zone: normal. Left mid zone: infiltrate. Left lower zone: infiltrate. Right lung: normal.", LML),
        ("Consolidation: RUZ yes, RMZ no, RLZ no; left lung none.", RU),
        (
            "R upper: no. R mid: no. R lower: consolidation. L upper: no. L mid: no. L lower: consolidation.",
            f"{RL} and {LL}",
        ),
        (
            "Clinical information: dyspnoea, sats 88%.\nAirspace opacification involves the whole "
            "left lung. The right lung is clear.\nNo effusion.",
            L,
        ),
        (
            "Indication: cough. Smoker.\nThe right mid zone shows consolidation. Elsewhere the lungs "
            "are clear.\nImpression: pneumonia.",
            RM,
        ),
        ("Exam: CXR PA. There is consolidation at the left apex.", LU),
        ("Comparison: 12 March. New infiltrate in the right lower zone; left lung remains clear.", RL),
        ("Technique: portable AP\n\nBoth lower zones are consolidated. Upper and mid zones clear.", f"{RL} and {LL}"),
        ("Right apical opacity, otherwise both lungs are clear.", RU),
        ("Left lower zone pneumonia. The remaining five zones are normal.", LL),
        (
            "There is an infiltrate in the right middle zone; the other zones of this lung are free, "
            "as is the left lung.",
            RM,
        ),
        ("Opacity of the left mid zone. The residual left lung is normally aerated. Right lung normal.", LM),
        ("Right base hazy, rest of the lungs ok.", RL),
        ("Patch of consolidation at the left apex, and nothing else on that side. Nothing on the right.", LU),
        ("Infiltrates: right lung two, one apical, one basal, none in the mid zone. Left lung none.", RUL),
        ("Opacity in the right mid and lower zones, none in the right upper zone, none in the left lung.", RML),
        ("Two opacities in the left upper zone, nothing in the mid and lower zones of the left lung.", LU),
        (
            "There is opacity in the right upper zone; nothing in the right mid zone; opacity in the right lower zone.",
            RUL,
        ),
        ("Right lung consolidated in its upper and middle thirds, not in its lower third.", RUM),
        ("Opacity of the inferior part of the left lung and of the superior part of the right lung.", f"{RU} and {LL}"),
        ("Left lung opacity of the superior and middle parts, the inferior part not.", LUM),
        ("Right lung opaque apart from the apex.", RML),
        ("The left lung is consolidated with the exception of its mid zone.", LUL),
        ("All of the right lung bar the base is consolidated.", RUM),
        ("Consolidation throughout the left lung with a spared apex.", LML),
        ("Right lung: all three zones. Left lung: lower zone. Left upper and mid zones spared.", f"{R} and {LL}"),
        ("R mid + R base + L base. Apices spared.", f"{RML} and {LL}"),
        ("the left lung has opacity at the base the left apex is clear and the right lung looks fine", LL),
        ("there's consolidation right upper zone and right mid zone the right base is okay nothing on the left", RUM),
        ("opacity in both mid zones the bases are clear the apices are clear no effusion", f"{RM} and {LM}"),
        ("Covid PCR positive. Bilateral lower zone opacities.", f"{RL} and {LL}"),
        ("COVID test pending. Right lung consolidated over its full height, left lung normal.", R),
        ("Consolidation: upper, mid and lower zones of the left lung; lower zone of the right lung.", f"{RL} and {L}"),
        ("Right upper zone opacity. Left mid zone and lower zone opacity. Left apex clear.", f"{RU} and {LML}"),
        ("Three areas: right apex, right base and left mid zone. Infective.", f"{RUL} and {LM}"),
        ("Opacification of the L lung, upper + lower, mid clear. R lung clear.", LUL),
        (
            "Left upper zone ground-glass, unchanged compared to prior. Now also right basal ground-glass.",
            f"{RL} and {LU}",
        ),
    ],
    "further manners": [
        (
            "LUNG ZONES\nRight upper: clear\nRight mid: clear\nRight lower: airspace opacity\nLeft "
            "upper: clear\nLeft mid: airspace opacity\nLeft lower: airspace opacity",
            f"{RL} and {LML}",
        ),
        ("R lung: UZ 0, MZ 0, LZ patchy consolidation. L lung: clear throughout.", RL),
        ("Right hemithorax: upper zone normal, mid zone hazy, lower zone hazy. Left hemithorax: normal.", RML),
        ("Left lung: upper infiltrate present, mid infiltrate absent, lower infiltrate present.", LUL),
        ("On the left: apex consolidated, mid zone clear, base consolidated. On the right: all clear.", LUL),
        ("LUNGS: R: mid zone opacity. L: no opacity.", RM),
        ("Right: UZ+MZ consolidation. Left: LZ consolidation.", f"{RUM} and {LL}"),
        ("Hx: cough and fever\nRight basal consolidation. Left lung clear.", RL),
        (
            "Reason for exam: hypoxia.\nLeft lung: diffuse opacification of all zones.\nRight lung: "
            "opacity of lower zone only.",
            f"{RL} and {L}",
        ),
        (
            "Clinical history: left-sided chest pain.\nPatchy consolidation at the right "
            "base.\nImpression: RLL pneumonia.",
            RL,
        ),
        ("Comparison: none. The left upper zone is consolidated. No effusion.", LU),
        ("EXAMINATION: Chest PA\nThere is infiltrate in the left mid and lower zones.\nHeart size normal.", LML),
        ("Consolidation is confined to the right upper zone; the rest of both lungs is clear.", RU),
        ("Opacity, left base. No other opacity. ", LL),
        ("Right mid zone opacity with the remainder of the right lung, and all of the left, being clear.", RM),
        ("Haze in the left mid zone; the remaining lung fields are clear.", LM),
        ("The rest of the left lung is clear: the opacity is at the left apex.", LU),
        ("Infiltrate right apex. Other areas free.", RU),
        ("Two infiltrates, both on the right, one at the apex and one at the base, nothing between.", RUL),
        ("Left lung opacity at the apex, none elsewhere.", LU),
        ("Nothing in the right lung. Opacity in the left lower zone.", LL),
        ("There is nothing at the right base, but an opacity in the right mid zone.", RM),
        ("Right lung: opacity in the superior part and inferior part, the middle part is normal.", RUL),
        ("Opacity in the left lung, middle and inferior part, not superior.", LML),
        ("Right lung opacified, minus the apex.", RML),
        ("Consolidated right lung (mid zone spared), clear left lung.", RUL),
        ("L upper + L mid zones consolidated, L base spared; R lung clear.", LUM),
        ("R base + L mid. Rest spared.", f"{RL} and {LM}"),
        ("left lung clear right lung has opacity in the upper zone and the mid zone", RUM),
        ("opacity in the left upper zone comma the left base is normal period right lung is normal period", LU),
        ("SARS-CoV-2 positive. Ground-glass opacity in both upper zones.", f"{RU} and {LU}"),
        ("Opacification of the left lung from top to bottom. Right upper zone opacity too.", f"{RU} and {L}"),
        ("Left mid and lower zone opacity and right lower zone opacity, unchanged.", f"{RL} and {LML}"),
        ("Right upper zone and left upper zone and left lower zone opacities.", f"{RU} and {LUL}"),
        ("Right lung white except for a small clear area at its apex.", RML),
        ("Both lungs opaque save the left apex.", f"{R} and {LML}"),
    ],
    "what must not be guessed": [
        ("Tube not in the right place. Right basal opacity.", RL),
        ("Right basal opacity, not in keeping with effusion.", RL),
        ("History: fever.\nPrevious right lower lobe pneumonia.\nFindings: Left apical opacity.", LU),
        ("History: Known right lower lobe opacity. Now worse.\nFindings: clear lungs.", ""),
        ("History: right basal pneumonia.\n\nLeft apical opacity.", LU),
        ("Clinical details: right basal creps. ?LRTI\nThe lungs are clear.", ""),
        ("Pleural effusion: right base - yes, left base - no. Right mid zone opacity.", RM),
        ("Left: effusion. Right: clear. Opacity in the lower zone.", ""),
        ("Left lung: clear. Heart enlarged. Opacity in the lower zone.", ""),
        ("Right: no effusion. Left: basal consolidation.", LL),
        ("Right lung: normal. Bibasal atelectasis. No consolidation.", ""),
        ("Comparison: CT of 3 May showed right basal opacity. Today the lungs are clear.", ""),
        ("Recommendation: repeat film.\nLeft base to be watched.", ""),
        ("Findings: left mid zone opacity. Comparison: right base opacity on the old film.", LM),
        ("Opacity in the right upper zone. Left upper zone not visible.", RU),
        ("The right lung is clear, nothing on the left but a basal opacity.", LL),
        ("Apices spared.", ""),
        ("Left base sparing. Right apex.", RU),
        ("Mediastinum normal. Right hemidiaphragm raised. Left costophrenic angle spared.", ""),
        ("No new opacity. The rest of the left lung is clear.", ""),
        ("Left lower zone opacity. All other zones have opacity too.", LL),
        ("Left: not in its usual position line. Right apex: opacity.", RU),
        ("Opacity? right base no.", ""),
        ("Lines: left - upper zone. Right mid zone opacity.", RM),
    ],
}


@pytest.mark.parametrize(("text", "expected"), [case for cases in CASES.values() for case in cases])
def test_layout_is_read(text, expected, places_of):
    assert places_of(text) == expected


def test_lung_named_at_the_head_of_a_line_holds_until_another_side_is_named():
    report = parse_report("Left lung: apex clear; base - opacity. Heart normal. Opacity in the mid zone.")
    places = {(place.side, *place.zones) for f in report.sentences[1].findings for place in f.places}
    assert places == {("left", "lower")}
    assert not any(place.side for f in report.sentences[3].findings for place in f.places)


def test_history_is_kept_from_the_picture_where_findings_have_a_heading():
    report = parse_report("History: cough.\nRight basal opacity in 2019.\nFindings: Left apical opacity.")
    assert [s.is_about_picture for s in report.sentences] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("Middle lobe consolidation. Lingular and LLL consolidation.", "middle right lung and middle lower left lung"),
        ("Pneumonia of the middle lobe.", "middle right lung"),
        ("Left lung: change in the upper zone, the base is respected.", "upper left lung"),
        (
            "Right-sided opacities in the upper and the lower zone, the mid zone being skipped.",
            "upper lower right lung",
        ),
        ("Consolidation in the left lower zone. It has improved but not resolved.", "lower left lung"),
        ("The lingula and the left lower lobe are both opacified.", "middle lower left lung"),
        ("Consolidation of the left middle lobe, so called.", "middle left lung"),
    ],
)
def test_lobes_without_a_side_and_what_is_spared_or_goes_on(text, stated, places_of):
    assert places_of(text) == stated
