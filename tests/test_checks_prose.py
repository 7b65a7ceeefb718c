"""Sentences as instruction-tuned models write them: none may raise a failing issue."""

import pytest

from tests.draft_cases import CASES, failing_codes, report_of

_BY_NAME = {case.name: case for case in CASES}
_PROSE: tuple[tuple[str, str, str], ...] = (
    (
        "cartilage_partial",
        "locate",
        "The region of interest is the medial central femur of the right knee, located "
        "within the bounding box [60, 100, 20, 90, 10, 41] on sagittal slices 60–99, "
        "viewed in the sagittal, coronal, and axial planes.",
    ),
    (
        "cartilage_partial",
        "observe",
        "The cartilage surface shows partial loss involving a moderate portion of the "
        "subregion, without evidence of full-thickness loss.",
    ),
    (
        "cartilage_partial",
        "observe",
        "There is some cartilage loss on the weight-bearing surface of the medial femoral "
        "condyle, but no exposed bone.",
    ),
    (
        "cartilage_partial",
        "measure",
        "The surface_loss_share is 23.4% (sd 1.2), and the full_thickness_share is 0.0% "
        "(sd 0.5). The mean_thickness is 1.8 mm (sd 0.2).",
    ),
    (
        "cartilage_partial",
        "measure",
        "surface_loss_share: 23.4 %; full_thickness_share: 0.0 %; mean_thickness: 1.8 mm.",
    ),
    (
        "cartilage_partial",
        "apply_scale",
        "The surface_loss_share of 23.4% falls within the 10 to 75% range, which "
        "corresponds to size grade 2. The full_thickness_share of 0.0% corresponds to "
        "full_thickness grade 0.",
    ),
    (
        "cartilage_partial",
        "apply_scale",
        "For size, 23.4% lies between 10% and 75%, so grade 2. For full_thickness, 0.0% "
        "equals 0, so grade 0.",
    ),
    (
        "cartilage_partial",
        "apply_scale",
        "The value is well above the 10 % cut-off (more than one standard deviation "
        "away), hence size grade 2; full_thickness is 0 %, hence grade 0.",
    ),
    (
        "cartilage_partial",
        "conclude",
        "Therefore, the medial central femur of the right knee is assigned size grade 2 "
        "and full_thickness grade 0.",
    ),
    (
        "cartilage_partial",
        "conclude",
        "The medial central femur in the right knee has a cartilage loss size grade of 2 "
        "and a full_thickness grade of 0.",
    ),
    (
        "cartilage_partial",
        "conclude",
        "Cartilage loss in the medial central femur is graded as size grade 2 and full-"
        "thickness grade 0 according to MOAKS.",
    ),
    (
        "cartilage_partial",
        "conclude",
        "A grade of 2 for size and 0 for full_thickness in the medial central femur.",
    ),
    (
        "cartilage_partial",
        "conclude",
        "Medial central femur: Size: 2; Full-thickness: 0.",
    ),
    (
        "cartilage_none",
        "observe",
        "The cartilage appears intact with a smooth surface and no evidence of loss.",
    ),
    (
        "cartilage_none",
        "observe",
        "There is no measurable cartilage loss in the medial patella, and no full-"
        "thickness defect.",
    ),
    (
        "cartilage_none",
        "conclude",
        "The medial patella shows no cartilage loss, corresponding to size grade 0 and "
        "full_thickness grade 0.",
    ),
    (
        "cartilage_severe",
        "observe",
        "Extensive cartilage loss is present over nearly the entire surface, with large "
        "areas of denuded bone.",
    ),
    (
        "cartilage_severe",
        "conclude",
        "There is severe cartilage loss in the lateral posterior tibia, with a size grade "
        "of 3 and full_thickness grade of 2.",
    ),
    (
        "bml_two",
        "observe",
        "There are two distinct bone marrow lesions occupying a substantial portion of "
        "the subregion, predominantly BML rather than cyst.",
    ),
    (
        "bml_two",
        "apply_scale",
        "The bml_volume_share of 41.2% lies between 33% and 66%, indicating size grade 2. "
        "The bml_count of 2 indicates number grade 2. The bml_share_of_lesion of 88.0% is "
        "greater than 66%, indicating percent_bml grade 3.",
    ),
    (
        "bml_two",
        "conclude",
        "In the lateral posterior tibia, bone marrow lesions are graded as size grade 2, "
        "number grade 2, and percent_bml grade 3.",
    ),
    (
        "bml_none",
        "observe",
        "There is no evidence of a bone marrow lesion in this subregion.",
    ),
    (
        "bml_none",
        "measure",
        "The bml_volume_share is 0.0 % and the bml_count is 0, so no lesion was measured.",
    ),
    (
        "bml_none",
        "conclude",
        "No bone marrow lesion is present in the medial posterior femur: size grade 0 and "
        "number grade 0.",
    ),
    (
        "osteophyte_medium",
        "observe",
        "A bony outgrowth is present at the joint margin, protruding beyond the expected "
        "contour, consistent with an osteophyte.",
    ),
    (
        "osteophyte_medium",
        "apply_scale",
        "The osteophyte_protrusion of 3.4 mm (sd 0.3) falls between the cut-offs of 3 mm "
        "and 5 mm, which corresponds to grade 2.",
    ),
    (
        "osteophyte_medium",
        "apply_scale",
        "With cut-offs at 1.5, 3, and 5 mm, the protrusion of 3.4 mm falls into the third "
        "interval.",
    ),
    (
        "osteophyte_medium",
        "conclude",
        "The osteophyte at the medial tibia is grade 2 (medium).",
    ),
    (
        "osteophyte_none",
        "observe",
        "The superior patellar margin is smooth, with only a minimal protrusion that does "
        "not amount to an osteophyte.",
    ),
    (
        "osteophyte_none",
        "conclude",
        "No significant osteophyte at the superior patella, corresponding to grade 0.",
    ),
    (
        "extrusion_medial",
        "observe",
        "The medial margin of the medial meniscus extends beyond the margin of the tibial "
        "plateau, indicating extrusion.",
    ),
    (
        "extrusion_medial",
        "apply_scale",
        "An extrusion of 3.4 mm is above the 3 mm cut-off but below 5 mm, placing it in grade 2.",
    ),
    (
        "extrusion_medial",
        "conclude",
        "The medial margin of the medial meniscus in the right knee shows extrusion grade 2.",
    ),
    (
        "extrusion_anterior_none",
        "observe",
        "The anterior margin of the lateral meniscus shows minimal displacement relative "
        "to the tibial plateau.",
    ),
    (
        "extrusion_anterior_none",
        "conclude",
        "Extrusion of the anterior margin of the lateral meniscus is minimal and is "
        "assigned grade 0.",
    ),
    (
        "effusion_small",
        "observe",
        "Fluid is present in the retropatellar and suprapatellar joint space, indicating "
        "a small effusion.",
    ),
    (
        "effusion_small",
        "apply_scale",
        "The effusion_volume of 6.20 mL is more than 4 mL and less than 10 mL, which is grade 1.",
    ),
    (
        "effusion_small",
        "conclude",
        "Effusion-synovitis of the retropatellar and suprapatellar joint space is grade 1.",
    ),
    (
        "morphology_tear",
        "observe",
        "There is a horizontal cleft extending to the articular surface of the posterior "
        "horn, consistent with a tear.",
    ),
    (
        "acl_intact",
        "conclude",
        "The anterior cruciate ligament is intact: complete_tear grade 0, bml_cyst grade "
        "0, and repair grade 0.",
    ),
    (
        "root_tear",
        "conclude",
        "A tear of the posterior root of the medial meniscus is present (presence grade 1).",
    ),
)


@pytest.mark.parametrize(("name", "step", "text"), _PROSE)
def test_free_prose_raises_no_failing_issue(name: str, step: str, text: str):
    case = _BY_NAME[name]
    answer = case.answer
    answer[step]["text"] = text
    if step == "measure" and "mean_thickness" in text:
        answer[step]["cites"].append("mean_thickness")
    assert failing_codes(report_of(case, answer)) == set()
