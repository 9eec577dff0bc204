"""The queue of what has a deadline."""

import random

from curveproxy.proxy.net.deadlines import Count, Deadline, DeadlineQueue


def test_anything_leaves_and_the_order_stays() -> None:
    queue: DeadlineQueue[Deadline] = DeadlineQueue()
    members = [Deadline(float(at)) for at in range(100)]
    for member in members:
        queue.append(member)
    chosen = random.Random(7).sample(members, 60)
    for member in chosen:
        queue.remove(member)
        assert member not in queue
    left = [member for member in members if member not in chosen]
    assert len(queue) == len(left) == 40
    assert queue.due(left[0].deadline - 0.5) is None
    seen = []
    while (oldest := queue.due(1000.0)) is not None:
        seen.append(oldest)
        queue.remove(oldest)
    assert seen == left
    assert queue.oldest is None


def test_several_queues_count_together() -> None:
    count = Count()
    one, other = DeadlineQueue[Deadline](count), DeadlineQueue[Deadline](count)
    member = Deadline(0.0)
    one.append(member)
    other.append(Deadline(0.0))
    assert (count.number, len(one), len(other)) == (2, 1, 1)
    for _ in range(2):
        one.remove(member)
        assert (count.number, len(one), len(other)) == (1, 0, 1)


def test_all_may_be_due_later_and_sooner() -> None:
    queue: DeadlineQueue[Deadline] = DeadlineQueue()
    queue.defer(5.0)  # there is none
    for at in (1.0, 2.0):
        queue.append(Deadline(at))
    queue.defer(5.0)
    assert queue.due(5.5) is None
    assert queue.due(6.0) is queue.oldest
    queue.defer(-6.0)
    first = queue.due(0.0)
    assert first is not None
    queue.remove(first)
    assert (queue.due(0.5), queue.due(1.0)) == (None, queue.oldest)
