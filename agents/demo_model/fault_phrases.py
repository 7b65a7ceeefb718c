"""Sentences that no sound draft holds, for the judge's training examples.

What is said of the patient without a finding for it, and what is said as no radiologist says it.
The scores in the model card are taken with `HELD_OUT_HISTORY` and `HELD_OUT_COLLOQUIAL`, which no
example is made from.
"""

HISTORY = (
    "The knee was injured in a fall.",
    "There is a history of knee pain.",
    "The patient reports pain in the {side} knee.",
    "The knee was operated on before.",
    "This has progressed since the earlier scan of the knee.",
    "The lesion is new since the last visit.",
    "The knee is unchanged from the previous study.",
    "The patient is old and the cartilage is worn.",
    "An old fracture of the {side} knee is known.",
    "The {side} knee had an injection some time ago.",
    "The patient was treated with rest for the knee.",
    "After the accident the knee was swollen.",
    "The knee has been painful for years.",
    "The patient plays football, which strains the knee.",
    "A later scan of the knee is recommended.",
    "Compared with the earlier scan the region looks worse.",
    "The patient is overweight, and the knee carries more load.",
    "The ligament was torn and repaired in the past.",
)
"""Said of the patient, with no finding for it."""
HELD_OUT_HISTORY = (
    "The {side} knee hurts on stairs.",
    "Surgery of the knee was done as a child.",
    "The patient twisted the knee while skiing.",
    "Since the previous visit the lesion has grown.",
    "The knee was treated with an injection.",
    "Known rheumatoid disease of the knee.",
)
COLLOQUIAL = (
    "The knee looks bad here.",
    "This knee is in really nice shape.",
    "The knee cap stuff looks fine.",
    "That bit of bone is a bit messed up.",
    "The gristle of the knee is shot.",
    "The shin bone looks kind of rough.",
    "The knee is a mess, sadly.",
    "Wow, that is a lot of knee.",
    "The bone looks awesome here.",
    "The thigh bone bit of the knee is okay.",
    "The cushion of the knee has had it.",
    "The knee is pretty much okay, give or take.",
    "The bone is a tad wonky.",
    "The knee juice is what it is.",
)
"""Said as no radiologist says it."""
HELD_OUT_COLLOQUIAL = (
    "The knee looks really awful here.",
    "The gristle bit of the knee is okay.",
    "That bit of bone is a mess.",
    "The knee is in awesome shape.",
    "The knee cushion looks kind of bad.",
)
