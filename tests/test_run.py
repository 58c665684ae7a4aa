"""The stream of events, on an engine of a few lines of NumPy."""

import dataclasses

import numpy as np
import pytest

from isostyle.interface import Evaluation
from isostyle.published import D2L
from isostyle.run import NonFiniteLoss, run

START = np.array([3.0, -2.0]).reshape(1, 1, 1, 2)


class Parabola:
    """Minimises the sum of squares; ``spoil`` may change what an evaluation finds."""

    def __init__(self, spoil=lambda count, evaluation: evaluation):
        self.spoil = spoil
        self.count = 0

    def tensor(self, array):
        return array.copy()

    def array(self, tensor):
        return tensor.copy()

    def objective(self, recipe, targets):
        def evaluate(image):
            total = (image * image).sum()
            evaluation = Evaluation(
                {"content/a": total / 4, "content/b": total / 4, "tv": total / 2, "total": total}, 2 * image
            )
            self.count += 1
            return self.spoil(self.count, evaluation)

        return evaluate


def events(recipe, engine=None):
    return list(run(engine or Parabola(), recipe, None, START))


def test_one_event_for_the_start_and_one_for_each_step():
    assert [event.step for event in events(dataclasses.replace(D2L, steps=3))] == [0, 1, 2, 3]


def test_losses_belong_to_the_picture_of_their_event():
    for event in events(dataclasses.replace(D2L, steps=3)):
        assert event.terms["total"] == (event.image() ** 2).sum()


def test_terms_of_several_taps_are_added_up():
    first = events(dataclasses.replace(D2L, steps=1))[0]
    assert first.losses == {"content": 6.5, "style": 0.0, "tv": 6.5, "total": 13.0}


def test_events_arrive_while_the_run_goes_on():
    engine = Parabola()
    stream = run(engine, D2L, None, START)
    next(stream)
    assert engine.count == 1


def test_the_learning_rate_of_the_update_that_follows():
    rates = [event.learning_rate for event in events(dataclasses.replace(D2L, steps=51))]
    assert (rates[49], rates[50]) == (0.3, 0.3 * 0.8)


def test_a_term_that_is_not_finite_stops_the_run_and_keeps_the_picture_before():
    def spoil(count, evaluation):
        return evaluation if count < 3 else Evaluation({**evaluation.terms, "tv": np.inf, "total": np.inf}, evaluation.gradient)

    with pytest.raises(NonFiniteLoss, match="tv became inf at step 2") as caught:
        events(dataclasses.replace(D2L, steps=9), Parabola(spoil))
    assert caught.value.last_good.step == 1


def test_an_image_that_is_not_finite_stops_the_run_although_its_losses_are():
    """Frameworks drop NaN on the way: Paddle's ReLU makes 0 of it, MXNet's pooling ignores it."""

    def spoil(count, evaluation):
        return Evaluation(dict.fromkeys(evaluation.terms, 1.0), evaluation.gradient * np.nan)

    with pytest.raises(NonFiniteLoss, match="the image became nan at step 1"):
        events(dataclasses.replace(D2L, steps=9), Parabola(spoil))


def test_the_finished_picture_is_checked_too():
    def spoil(count, evaluation):
        return evaluation if count < 4 else Evaluation({"total": np.nan}, evaluation.gradient)

    with pytest.raises(NonFiniteLoss, match="total became nan at step 3"):
        events(dataclasses.replace(D2L, steps=3), Parabola(spoil))
