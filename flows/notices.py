"""The keeper's part in notices: makes events into deliveries, and has those sent that are due."""

from definitions.errors import OpsgateError
from flows.process import EngineProcess
from store import notices, outbox
from store.notices import Parcel
from tasks.notices import Letter, deliver


async def round_of(process: EngineProcess) -> int:
    """Everything that is due now; returns how many deliveries were tried."""
    for errand in await outbox.due(process.db, "notice"):
        try:
            await notices.expand(process.db, errand, process.settings.public_url)
        except Exception as error:
            await outbox.postpone(process.db, errand, repr(error))
    parcels = await notices.take_due(process.db)
    if parcels:
        await _send(process, parcels)
    return len(parcels)


async def _send(process: EngineProcess, parcels: list[Parcel]) -> None:
    letters: list[Letter] = []
    answers: dict[int, str | None] = {}
    for parcel in parcels:
        try:
            url = parcel.url(process.db)
        except OpsgateError as error:
            answers[parcel.id] = error.message
            continue
        letters.append(Letter(id=parcel.id, url=url, title=parcel.title, body=parcel.body))
    if letters:
        answers |= await deliver(letters, allowed=process.settings.notice_networks)
    for parcel in parcels:
        if parcel.id in answers:
            await notices.note(process.db, parcel, answers[parcel.id])
        else:
            await notices.give_back(process.db, parcel)
