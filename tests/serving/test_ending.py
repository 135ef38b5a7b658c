import asyncio

from serving.ending import end_tasks


async def deaf(times: int) -> int:
    """Goes on after so many cancellations, as a library may make a task do."""
    heard = 0
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            heard += 1
            if heard > times:
                raise


async def failing() -> None:
    message = "as it ended"
    try:
        await asyncio.sleep(3600)
    finally:
        raise RuntimeError(message)


async def test_tasks_end_even_if_a_cancellation_is_lost() -> None:
    tasks = [asyncio.create_task(deaf(times)) for times in (0, 1, 3)]
    tasks += [asyncio.create_task(asyncio.sleep(0, 7))]
    broken = asyncio.create_task(failing())
    await asyncio.sleep(0.01)
    await end_tasks([*tasks, broken])
    assert [task.cancelled() for task in tasks] == [True, True, True, False]
    assert isinstance(broken.exception(), RuntimeError)
    await end_tasks([])
