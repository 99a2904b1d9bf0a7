"""The five errors: what a page and the queue read from them."""

from app.core.errors import AppError, Conflict, Denied, Invalid, NotFound, Upstream


def test_each_error_knows_its_status_and_whether_to_try_again() -> None:
    errors: list[AppError] = [
        NotFound("gone"),
        Invalid(login="is taken"),
        Conflict("already running"),
        Denied("admins only"),
        Upstream("portal is away"),
        Upstream("portal says no", retry=False, code="refused"),
    ]
    assert [error.status for error in errors] == [404, 422, 409, 403, 502, 502]
    assert [error.retry for error in errors] == [False, False, False, False, True, False]


def test_invalid_keeps_a_sentence_per_field_also_for_names_with_dots() -> None:
    error = Invalid(**{"accounts.invite_hours": "must be a whole number", "login": "is taken"})
    assert error.fields["accounts.invite_hours"] == "must be a whole number"
    assert str(error) == "accounts.invite_hours: must be a whole number; login: is taken"


def test_upstream_carries_a_code_for_the_program_and_words_for_people() -> None:
    error = Upstream("this address is not allowed", retry=False, code="forbidden_host")
    assert (str(error), error.code) == ("this address is not allowed", "forbidden_host")
