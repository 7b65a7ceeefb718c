"""What a person can say of a text (RULES 6 and 21)."""

from enum import StrEnum


class ReviewVerdict(StrEnum):
    """What a single review does."""

    ACCEPT = "accept"
    """The text holds."""
    REJECT = "reject"
    """It is wrong; a quintuple with this text is never exported again."""
    NOTE = "note"
    """A remark; changes nothing."""


class ReviewReason(StrEnum):
    """What is wrong with a text, or why grades are discordant."""

    WRONG_GRADE = "wrong_grade"
    """Text and picture do not show this grade."""
    WRONG_PLACE = "wrong_place"
    """Box, side, region or slices are another place's."""
    WRONG_NUMBER = "wrong_number"
    """A measurement is not what the picture shows."""
    NOT_VISIBLE = "not_visible"
    """It describes what this sequence or picture does not show."""
    UNSUPPORTED = "unsupported"
    """The conclusion does not follow from what is described."""
    CONTRADICTION = "contradiction"
    """It contradicts itself."""
    READER_RIGHT = "reader_right"
    """Discordant: the clinician's grade is right."""
    MASK_WRONG = "mask_wrong"
    """Discordant: the mask is wrong."""
    DEFINITION_DIFFERS = "definition_differs"
    """Discordant: reader and program measure something else."""
    BORDERLINE = "borderline"
    """Discordant: both grades can be held."""
    OTHER = "other"
    """Something else; the note says what."""
