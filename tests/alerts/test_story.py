from support.making import AGENT, NOBODY, copy_fact, detection, event, process, server_fact

from replguard.alerts.story import nobody, tell


def test_the_last_fact_with_a_process_tells_most():
    """Facts come before plain events, the later before the earlier."""
    story = tell(detection(copy_fact(1), server_fact(2), event("process_exec", 3, process=process())))
    assert story.main.action == "server_live"
    assert story.completing.action == "process_exec"
    assert [e.action for e in story.events] == ["server_live", "weights_copy", "process_exec"]
    assert story.context(lambda c: c.technique) == "hardlink"


def test_a_fact_without_a_process_is_still_the_main_one():
    """A copy whose writer was not seen is what the alert is about, not some process that was."""
    story = tell(detection(event("process_exec", 1, process=process()), copy_fact(2, actor=NOBODY)))
    assert story.main.action == "weights_copy"


def test_the_actor_that_was_seen_wins():
    """An act by nobody does not hide who did the other."""
    story = tell(detection(copy_fact(1), server_fact(2, actor=NOBODY)))
    assert story.actor == AGENT
    assert nobody(tell(detection(copy_fact(1, actor=NOBODY))).actor)


def test_the_least_sure_stage_decides():
    """Attribution is that of the weakest fact, and the tier the weaker one."""
    story = tell(detection(copy_fact(1, attribution="inferred"), server_fact(2, attribution="kernel", tier="kernel")))
    assert (story.attribution, story.tier) == ("inferred", "portable")


def test_loss_marks_the_whole():
    """One degraded event makes the story degraded."""
    assert tell(detection(copy_fact(1, degraded=True), server_fact(2))).degraded
    assert not tell(detection(copy_fact(1))).degraded
