"""A server for calls with pipecat, for `scripts/bench --peers`: runs with that peer's own Python.

A pipeline as its documentation builds one for Telnyx: FastAPI's WebSocket transport with the Telnyx serializer, and the
OpenAI Realtime service with its own audio format, PCM of 24 kHz, in place of recognition, model and speech.

Reads TELNYX_API_BASE, TELNYX_API_KEY, OPENAI_API_KEY and OPENAI_REALTIME_URL; prints its address as the server does.
"""

from __future__ import annotations

import json
import os
import sys

from fastapi import WebSocket
from loguru import logger
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

from callflow.cli.bench.peers import peer_server


async def _serve(caller: WebSocket) -> None:
    await caller.accept()
    start = json.loads(await caller.receive_text())
    while start["event"] != "start":
        start = json.loads(await caller.receive_text())
    serializer = TelnyxFrameSerializer(
        stream_id=start["stream_id"],
        outbound_encoding=start["start"]["media_format"]["encoding"],
        inbound_encoding="PCMU",
        # Hanging up goes to Telnyx's public address only, and callers hang up here.
        params=TelnyxFrameSerializer.InputParams(auto_hang_up=False),
    )
    parameters = FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, add_wav_header=False, serializer=serializer
    )
    transport = FastAPIWebsocketTransport(websocket=caller, params=parameters)
    model = OpenAIRealtimeLLMService(
        api_key=os.environ["OPENAI_API_KEY"], base_url=os.environ["OPENAI_REALTIME_URL"]
    )  # fmt: skip
    context = LLMContext([{"role": "user", "content": "Greet the caller."}])
    of_user, of_assistant = LLMContextAggregatorPair(context)
    worker = PipelineWorker(
        Pipeline([transport.input(), of_user, model, transport.output(), of_assistant]),
        params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000),
    )

    async def connected(transport: object, client: object) -> None:
        await worker.queue_frames([LLMRunFrame()])

    async def disconnected(transport: object, client: object) -> None:
        await worker.cancel()

    transport.add_event_handler("on_client_connected", connected)
    transport.add_event_handler("on_client_disconnected", disconnected)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    peer_server.main(_serve)
