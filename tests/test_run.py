"""The stream of events, on an engine of a few lines of NumPy."""

import dataclasses
import re
import tracemalloc

import numpy as np
import pytest

from isostyle.conformance.oracle.optimizers import lbfgs_with_line_search
from isostyle.interface import Evaluation
from isostyle.published import D2L
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings
from isostyle.transfer.descent import NonFiniteLoss, climb, run

START = np.array([3.0, -2.0]).reshape(1, 1, 1, 2)


class Parabola:
    """Minimizes the sum of squares; ``spoil`` may change what an evaluation finds."""

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


def events(recipe, engine=None, start=START):
    return list(run(engine or Parabola(), recipe, None, start))


LBFGS = dataclasses.replace(D2L, optimizer=LbfgsSettings(), schedule=Constant(), steps=301)
CLAMPED = dataclasses.replace(D2L, space="unit", clamped=True, tv_weight=0.0)


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


def test_a_run_with_adam_holds_at_most_eight_images():
    """Of NumPy's: the start included, which its caller has let go; and a picture that somebody keeps stays what it was."""
    start = [np.full((1, 3, 200, 300), 2.0)]
    size = start[0].nbytes
    tracemalloc.start()
    try:
        stream = run(Parabola(), dataclasses.replace(D2L, steps=4), None, start.pop())
        first = next(stream)
        kept = first.image()
        for event in stream:
            last = event
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The start was made before; here somebody keeps an event, and a copy of its picture.
    assert peak < (8 + 2) * size
    np.testing.assert_array_equal(first.image(), kept)
    assert np.abs(last.image() - kept).max() > 0


# L-BFGS: whole blocks, evaluations that count, and its end


class Slide(Parabola):
    """A straight line: L-BFGS never converges on it."""

    def objective(self, recipe, targets):
        def evaluate(image):
            self.count += 1
            total = image.sum()
            return Evaluation({"content/a": total, "total": total}, image * 0 + 1)

        return evaluate


def test_lbfgs_makes_whole_blocks_as_the_tutorial_s_loop_does():
    """301 evaluations at least, in blocks of 20; and one of the finished picture."""
    found = events(LBFGS, Slide())
    assert LBFGS.updates == 320
    assert [event.evaluation for event in found] == list(range(1, 322))
    assert found[-1].step == 320


def test_a_block_that_ends_early_repeats_an_evaluation_which_counts():
    """As torch.optim.LBFGS in the tutorial's loop: each block's second evaluation finds no change, and ends it."""

    class Level(Slide):
        def objective(self, recipe, targets):
            plain = super().objective(recipe, targets)
            return lambda image: Evaluation({"content/a": 1.0, "total": 1.0}, plain(image).gradient)

    found = events(dataclasses.replace(LBFGS, steps=4), Level())
    assert [(event.evaluation, event.step) for event in found] == [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]
    assert [event.finished for event in found] == [False] * 4 + [True]
    assert "the change of the total, 0, is below 1e-09" in found[1].note


def test_a_run_after_a_block_that_ended_early_may_make_a_few_updates_more_and_says_which_picture_is_the_result():
    """The first block ends at its second evaluation; the one that begins at evaluation 21 goes on to 41."""

    class Once(Slide):
        def objective(self, recipe, targets):
            def evaluate(image):
                self.count += 1
                total = image.sum() if self.count != 2 else START.sum()
                return Evaluation({"content/a": total, "total": total}, image * 0 + 1)

            return evaluate

    recipe = dataclasses.replace(LBFGS, steps=23)
    found = events(recipe, Once())
    assert recipe.updates == 40 < found[-1].step == 41 <= recipe.most_updates
    assert [event.step for event in found if event.finished] == [41]


def test_lbfgs_that_has_converged_ends_the_run_and_names_the_criterion():
    found = events(LBFGS)
    assert len(found) < 100
    assert re.match(
        r"L-BFGS ended at step \d+: the largest component of the gradient, .* is within its tolerance 1e-07", found[-1].note
    )
    assert [event.note for event in found[:-1]] == [None] * (len(found) - 1)
    assert [event.finished for event in found] == [False] * (len(found) - 1) + [True]


def test_adam_without_any_gradient_ends_at_once():
    found = events(D2L, start=START * 0)
    assert [event.step for event in found] == [0]
    assert found[0].note == "Adam ended at step 0: the gradient is 0 everywhere"


# L-BFGS with a line search: trials, and a run of exactly so many evaluations

SEARCHING = dataclasses.replace(
    LBFGS, steps=17, optimizer=LbfgsSettings(line_search="strong-wolfe", learning_rate=6.0, iterations=4)
)


class Waves(Parabola):
    """With many valleys: a search makes trials that it does not take."""

    def objective(self, recipe, targets):
        def evaluate(image):
            self.count += 1
            total = (image * image / 8 + np.sin(4 * image)).sum()
            return self.spoil(self.count, Evaluation({"content/a": total, "total": total}, image / 4 + 4 * np.cos(4 * image)))

        return evaluate


def test_a_run_with_a_line_search_makes_the_recipe_s_evaluations_and_that_of_the_finished_picture():
    found = events(SEARCHING, Waves())
    assert [event.evaluation for event in found] == list(range(1, 19))
    assert [event.finished for event in found] == [False] * 17 + [True]


def test_an_event_of_a_line_search_has_the_losses_of_its_image_and_says_whether_that_was_only_tried():
    found = events(SEARCHING, Waves())
    assert any(event.trial for event in found)
    for event in found:
        image = event.image()
        assert event.terms["total"] == (image * image / 8 + np.sin(4 * image)).sum()
    taken = [event for event in found if not event.trial]
    totals = [event.terms["total"] for event in taken]
    assert totals == sorted(totals, reverse=True)
    # A new block evaluates its first picture again, and a trial has the step that it began from.
    assert [event.step for event in found] == sorted(event.step for event in found)
    assert {event.step for event in taken} == set(range(found[-1].step + 1))


def test_the_finished_picture_of_a_search_in_progress_is_the_one_that_it_began_from():
    for steps in range(1, 18):
        *before, last = events(dataclasses.replace(SEARCHING, steps=steps), Waves())
        assert not last.trial
        kept = [event for event in before if not event.trial][-1]
        np.testing.assert_array_equal(last.image(), kept.image())


def test_the_last_good_picture_of_a_search_is_no_trial():
    trial = next(event.evaluation for event in events(SEARCHING, Waves()) if event.trial)

    def spoil(count, evaluation):
        return evaluation if count <= trial else Evaluation({"total": np.nan}, evaluation.gradient)

    with pytest.raises(NonFiniteLoss) as caught:
        events(SEARCHING, Waves(spoil))
    assert not caught.value.last_good.trial
    assert caught.value.last_good.evaluation < trial


class Cliff(Parabola):
    """Many valleys, and walls around them: further out than 5 the total is ``beyond``."""

    def __init__(self, beyond):
        super().__init__()
        self.beyond = beyond

    def found(self, image):
        inside = abs(image).max() < 5
        if not inside:
            return self.beyond, image * np.nan
        return (image * image / 8 + np.sin(4 * image)).sum(), image / 4 + 4 * np.cos(4 * image)

    def objective(self, recipe, targets):
        def evaluate(image):
            total, gradient = self.found(image)
            return Evaluation({"content/a": total, "total": total}, gradient)

        return evaluate


FAR = LbfgsSettings(line_search="strong-wolfe", learning_rate=200.0, iterations=20)


@pytest.mark.parametrize("beyond", [np.inf, np.nan])
def test_a_search_that_went_too_far_comes_back(beyond):
    recipe = dataclasses.replace(LBFGS, steps=20, optimizer=FAR)
    found = events(recipe, Cliff(beyond))
    tried = [event for event in found if not np.isfinite(event.terms["total"])]
    assert tried
    assert all(event.trial for event in tried)
    assert found[-1].terms["total"] < -1 < 0 < found[0].terms["total"]


@pytest.mark.parametrize("beyond", [np.inf, np.nan])
def test_a_search_comes_back_as_the_oracle_s_does(beyond):
    found = events(dataclasses.replace(LBFGS, steps=12, optimizer=FAR), Cliff(beyond))
    looked = []
    walk = lbfgs_with_line_search(lambda x: looked.append(x) or Cliff(beyond).found(x), START, FAR, 12)
    assert [event.trial for event in found] == walk.trials
    assert [event.step for event in found] == walk.steps
    np.testing.assert_allclose([event.image() for event in found], [*looked, walk.image], rtol=1e-12, atol=1e-15)


def test_a_search_in_a_broken_direction_ends_the_run():
    """The gradient is not finite, but the losses are: no length leads anywhere."""

    def spoil(count, evaluation):
        return Evaluation(dict.fromkeys(evaluation.terms, 1.0), evaluation.gradient * np.nan)

    with pytest.raises(NonFiniteLoss, match="the image became nan"):
        events(SEARCHING, Waves(spoil))


# Positions


def test_a_run_with_a_search_stands_at_a_picture_that_was_taken():
    for event in run(Waves(), SEARCHING, None, START):
        if not event.finished:
            position = event.position()
            assert position.evaluation <= event.evaluation
            assert np.array_equal(position.state["image"], event.image()) == (not event.trial)


@pytest.mark.parametrize(
    "recipe",
    [dataclasses.replace(D2L, steps=4), dataclasses.replace(LBFGS, optimizer=LbfgsSettings(iterations=3), steps=7), SEARCHING],
    ids=["Adam", "L-BFGS", "L-BFGS with a line search"],
)
def test_a_run_goes_on_from_any_position_as_if_it_had_never_stopped(recipe):
    def told(event):
        return (
            event.step,
            event.evaluation,
            event.learning_rate,
            event.terms,
            event.image().tolist(),
            event.trial,
            event.finished,
        )

    whole, positions = [], []
    for event in run(Waves(), recipe, None, START):
        whole.append(told(event))
        positions += [] if event.finished else [event.position()]
    for position in positions:
        rest = [told(event) for event in run(Waves(), recipe, None, position)]
        assert rest == whole[position.evaluation :]


# From coarse to fine


class Paraboloid(Parabola):
    """The mean of the squares, as the losses are means, in pictures of any size."""

    def targets(self, recipe, content, style):
        return content

    def objective(self, recipe, targets):
        return lambda image: Evaluation({"total": (image * image).mean()}, 2 * image / image.size)


def climbed(recipe, sizes=((2, 4), (4, 8))):
    contents = [np.full((1, 3, *size), 3.0) for size in sizes]
    return list(climb(Paraboloid(), levels_of(recipe, contents), contents[:1]))


def levels_of(recipe, contents):
    return [(recipe, content.shape[2:], lambda content=content: (content, [(content, 1.0)])) for content in contents]


def test_steps_and_evaluations_are_counted_over_all_levels_and_only_the_last_picture_is_finished():
    found = climbed(dataclasses.replace(D2L, steps=3))
    assert [event.size for event in found] == [(2, 4)] * 3 + [(4, 8)] * 4
    assert [event.evaluation for event in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [event.step for event in found] == [0, 1, 2, 3, 4, 5, 6]
    assert [event.finished for event in found] == [False] * 6 + [True]
    assert {event.planned for event in found} == {6}
    # A fifth of the work is done at a quarter of the pixels.
    assert [event.done for event in found] == pytest.approx([0, 1 / 15, 2 / 15, 0.2, 0.2 + 0.8 / 3, 0.2 + 1.6 / 3, 1])


def test_adam_begins_anew_at_each_level():
    found = climbed(dataclasses.replace(D2L, steps=1, optimizer=AdamSettings(0.25), schedule=Constant()))
    assert [event.image().ravel()[0] for event in found] == pytest.approx([3, 2.75, 2.5])


def test_a_line_search_is_told_at_the_next_level_how_curved_the_one_before_was():
    """Of a mean of n squares the inverse Hessian is n / 2, and L-BFGS's first move at the second level leads to the minimum."""
    recipe = dataclasses.replace(LBFGS, steps=6, optimizer=LbfgsSettings(line_search="strong-wolfe", tolerance_change=0))

    class Uneven(Paraboloid):
        """Not at the minimum after a few evaluations."""

        def objective(self, recipe, targets):
            plain = super().objective(recipe, targets)
            return lambda image: plain(image - image.shape[2])

    contents = [np.full((1, 3, *size), 3.0) for size in ((2, 4), (4, 8))]
    found = list(climb(Uneven(), levels_of(recipe, contents), contents[:1]))
    second = [event for event in found if event.size == (4, 8)]
    assert second[0].terms["total"] == pytest.approx(4)
    assert second[1].terms["total"] == pytest.approx(0, abs=1e-12)


# Clamping


def test_a_clamped_image_is_clamped_before_every_evaluation_and_at_the_end():
    for event in events(dataclasses.replace(CLAMPED, steps=5)):
        image = event.image()
        assert image.min() >= 0
        assert image.max() <= 1


def test_an_image_that_is_not_clamped_may_leave_its_range():
    assert events(dataclasses.replace(CLAMPED, clamped=False, steps=1))[0].image().min() == -2


def test_the_optimizer_goes_on_from_the_clamped_image():
    """The start, (3, -2), is clamped to (1, 0), where Adam's first step is the learning rate downhill for the first pixel."""
    recipe = dataclasses.replace(CLAMPED, steps=1, optimizer=AdamSettings(0.25), schedule=Constant())
    assert events(recipe)[1].image().ravel().tolist() == pytest.approx([0.75, 0])


# Averages

AVERAGED = dataclasses.replace(D2L, steps=2, optimizer=AdamSettings(0.25), schedule=Constant(), average_decay=0.5)


def test_the_picture_is_the_average_of_all_images_so_far_the_start_among_them():
    """Adam moves 3 by the rate: 3, 2.75, 2.5. Each counts twice as much as the one before."""
    last = [event.image().ravel()[0] for event in events(AVERAGED)]
    images = [event.image().ravel()[0] for event in events(dataclasses.replace(AVERAGED, average_decay=0.0))]
    expected = [3, (3 + 2 * images[1]) / 3, (3 + 2 * images[1] + 4 * images[2]) / 7]
    assert last == pytest.approx(expected)


def test_the_losses_of_an_averaged_run_are_those_of_the_image_that_is_optimized():
    plain = dataclasses.replace(AVERAGED, average_decay=0.0)
    assert [event.terms for event in events(AVERAGED)] == [event.terms for event in events(plain)]


def test_the_average_of_clamped_images_has_what_lay_outside_at_the_edge():
    recipe = dataclasses.replace(AVERAGED, space="unit", clamped=True, tv_weight=0.0)
    assert events(recipe)[1].image().ravel().tolist() == pytest.approx([(1 + 2 * 0.75) / 3, 0])


def test_a_level_starts_from_the_average_of_the_one_before_and_averages_anew():
    found = climbed(dataclasses.replace(AVERAGED, steps=1))
    assert found[1].size == (4, 8)
    assert [event.image().ravel()[0] for event in found[:2]] == pytest.approx([3, (3 + 2 * 2.75) / 3])


def test_adam_s_moments_and_its_count_may_go_on_at_the_next_level():
    """With moments of zeros and a count from 1 the first step at a level is a whole rate; these lie between."""
    recipe = dataclasses.replace(AVERAGED, steps=1, average_decay=0.0, carries_moments=True)
    first, second = 6 / 24, 2 * 2.75 / 96
    moment1, moment2 = 0.9 * 0.1 * first + 0.1 * second, 0.999 * 0.001 * first**2 + 0.001 * second**2
    step = 0.25 * (moment1 / (1 - 0.9**2)) / np.sqrt(moment2 / (1 - 0.999**2))
    assert [event.image().ravel()[0] for event in climbed(recipe)] == pytest.approx([3, 2.75, 2.75 - step])


def test_an_averaged_run_goes_on_from_any_position_as_if_it_had_never_stopped():
    whole, positions = [], []
    for event in run(Parabola(), AVERAGED, None, START):
        whole.append(event.image().tolist())
        positions += [] if event.finished else [event.position()]
    for position in positions:
        rest = [event.image().tolist() for event in run(Parabola(), AVERAGED, None, position)]
        assert rest == whole[position.evaluation :]
