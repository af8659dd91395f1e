from vitc.export.options import DEFAULTS, Options


def test_nothing_chosen_is_a_free_batch_of_prepared_images() -> None:
    assert Options(batch=None, image_input=False) == DEFAULTS
