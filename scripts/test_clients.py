"""Calls of the real `openai` and `ollama` clients to a mock-llm at the URL given, with asserts.

scripts/test-clients installs the clients and starts the server.
"""

import sys

import ollama
import openai

URL = sys.argv[1]
KEY = "test-key"
QUESTION = [{"role": "user", "content": "What do you see?"}]
# The seed calls a tool that the person names.
ERRAND = [{"role": "user", "content": "Use read_file, please."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Reads a file.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}},
            "required": ["path"],
        },
    },
}


def openai_client(**options):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, **options)


def azure_client(**options):
    return openai.AzureOpenAI(
        azure_endpoint=URL, api_key=KEY, api_version="2024-10-21", max_retries=0, **options
    )


def azure_v1_client():
    return openai.OpenAI(base_url=f"{URL}/openai/v1", api_key=KEY, max_retries=0)


def ollama_client():
    return ollama.Client(host=URL)


def refused(kind, call):
    """The error of this kind that the call must end in."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def chats(client):
    answer = client.chat.completions.create(model="mock", messages=QUESTION)
    choice = answer.choices[0]
    assert choice.finish_reason == "stop" and len(choice.message.content) > 20, answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    cut = client.chat.completions.create(model="mock", messages=QUESTION, max_completion_tokens=3)
    assert cut.choices[0].finish_reason == "length", cut
    return choice.message.content


def streams(client, expected):
    options = {"include_usage": True}
    stream = client.chat.completions.create(
        model="mock", messages=QUESTION, stream=True, stream_options=options
    )
    chunks = list(stream)
    deltas = [it.choices[0] for it in chunks if it.choices]
    text = "".join(it.delta.content or "" for it in deltas if it.delta)
    assert text == expected, (text, expected)
    assert [it.finish_reason for it in deltas if it.finish_reason] == ["stop"]
    assert [it.usage.completion_tokens > 0 for it in chunks if it.usage] == [True]


def stream_helper(client, expected):
    """The client's own accumulation of a stream, which is stricter than its reader."""
    with client.chat.completions.stream(model="mock", messages=QUESTION) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == expected


def tools(client):
    asked = {"model": "mock", "messages": ERRAND, "tools": [TOOL]}
    message = client.chat.completions.create(**asked).choices[0].message
    call = message.tool_calls[0]
    assert call.function.name == "read_file" and call.function.arguments == '{"lines":1,"path":"text"}'
    with client.chat.completions.stream(**asked) as stream:
        events = [it.type for it in stream]
        last = stream.get_final_completion().choices[0]
    assert "tool_calls.function.arguments.done" in events, events
    assert last.finish_reason == "tool_calls", last
    assert last.message.tool_calls[0].function.arguments == call.function.arguments
    result = {"role": "tool", "tool_call_id": call.id, "content": "nothing"}
    rounds = [*ERRAND, message.model_dump(exclude_none=True), result]
    asked["messages"] = rounds
    assert client.chat.completions.create(**asked).choices[0].message.content


def embeddings(client):
    # The client asks for base64 by itself and unpacks it.
    packed = client.embeddings.create(model="mock-embed", input=["one text", "another"])
    floats = client.embeddings.create(
        model="mock-embed", input=["one text", "another"], encoding_format="float"
    )
    assert [len(it.embedding) for it in packed.data] == [64, 64]
    pairs = zip(packed.data[0].embedding, floats.data[0].embedding, strict=True)
    assert all(abs(a - b) < 1e-6 for a, b in pairs)
    assert packed.usage.prompt_tokens > 0
    few = client.embeddings.create(model="mock-embed", input="one text", dimensions=8)
    assert len(few.data[0].embedding) == 8


def completions(client):
    answer = client.completions.create(model="mock", prompt="fn main() {", suffix="}")
    assert answer.object == "text_completion" and answer.choices[0].text
    stream = client.completions.create(model="mock", prompt="fn main() {", suffix="}", stream=True)
    assert "".join(it.choices[0].text for it in stream) == answer.choices[0].text


def models(client):
    assert [it.id for it in client.models.list()] == ["mock", "mock-embed"]
    assert client.models.retrieve("mock").id == "mock"


def openai_errors(client):
    create = client.chat.completions.create
    missing = refused(openai.NotFoundError, lambda: create(model="none", messages=QUESTION))
    assert missing.code == "model_not_found", missing
    refused(openai.BadRequestError, lambda: create(model="mock", messages=[]))
    stranger = openai.OpenAI(base_url=f"{URL}/v1", api_key="wrong", max_retries=0)
    wrong = refused(openai.AuthenticationError, lambda: stranger.models.list())
    assert wrong.code == "invalid_api_key", wrong
    limited = refused(openai.RateLimitError, lambda: create(model="mock/429:7", messages=QUESTION))
    assert limited.response.headers["retry-after"] == "7"
    refused(openai.InternalServerError, lambda: create(model="mock/503", messages=QUESTION))
    error = {"model": "mock/error", "messages": QUESTION, "stream": True}
    refused(openai.APIError, lambda: list(create(**error)))
    cut = {"model": "mock/cut:600", "messages": QUESTION, "stream": True}
    refused(Exception, lambda: list(create(**cut)))


def azure_errors():
    create = azure_client().chat.completions.create
    missing = refused(openai.NotFoundError, lambda: create(model="none", messages=QUESTION))
    assert missing.code == "DeploymentNotFound", missing
    stranger = openai.AzureOpenAI(
        azure_endpoint=URL, api_key="wrong", api_version="2024-10-21", max_retries=0
    )
    asked = {"model": "mock", "messages": QUESTION}
    refused(openai.AuthenticationError, lambda: stranger.chat.completions.create(**asked))


def azure_filter():
    stream = azure_client().chat.completions.create(model="mock", messages=QUESTION, stream=True)
    chunks = list(stream)
    assert chunks[0].choices == [] and chunks[0].model_extra["prompt_filter_results"]
    judged = [it for it in chunks if it.choices and "content_filter_results" in it.choices[0].model_extra]
    assert len(judged) > 3


def ollama_chat(client):
    whole = client.chat(model="mock", messages=QUESTION)
    assert whole.done and whole.done_reason == "stop" and whole.eval_count > 0, whole
    lines = list(client.chat(model="mock", messages=QUESTION, stream=True))
    assert "".join(it.message.content for it in lines) == whole.message.content
    assert [it.done for it in lines].count(True) == 1 and lines[-1].done
    thinking = client.chat(model="mock", messages=QUESTION, think=True)
    assert thinking.message.thinking and thinking.message.content
    seen = [{"role": "user", "content": "What is this?", "images": [b"\x89PNG"]}]
    assert client.chat(model="mock", messages=seen).message.content
    few = client.chat(model="mock", messages=QUESTION, options={"num_predict": 2})
    assert few.done_reason == "length", few


def ollama_tools(client):
    call = client.chat(model="mock", messages=ERRAND, tools=[TOOL]).message.tool_calls[0]
    assert call.function.name == "read_file" and call.function.arguments == {"lines": 1, "path": "text"}
    lines = list(client.chat(model="mock", messages=ERRAND, tools=[TOOL], stream=True))
    calls = [call for it in lines for call in it.message.tool_calls or []]
    assert [it.function.name for it in calls] == ["read_file"]


def ollama_texts(client):
    filled = client.generate(model="mock", prompt="fn main() {", suffix="}")
    assert filled.response and filled.done
    lines = list(client.generate(model="mock", prompt="fn main() {", suffix="}", stream=True))
    assert "".join(it.response for it in lines) == filled.response
    vectors = client.embed(model="mock-embed", input=["one text", "another"]).embeddings
    assert [len(it) for it in vectors] == [64, 64]
    assert abs(sum(it * it for it in vectors[0]) - 1) < 1e-5
    assert len(client.embeddings(model="mock-embed", prompt="one text").embedding) == 64


def ollama_models(client):
    assert [it.model for it in client.list().models] == ["mock:latest", "mock-embed:latest"]
    assert client.ps().models[0].context_length == 4096
    shown = client.show("mock")
    assert "tools" in shown.capabilities and shown.modelinfo["mock.context_length"] == 8192, shown
    assert shown.details.family == "mock"


def ollama_pull(client):
    missing = refused(ollama.ResponseError, lambda: client.chat(model="fresh", messages=QUESTION))
    assert missing.status_code == 404 and "not found" in missing.error, missing
    first = []
    for line in client.pull("fresh", stream=True):
        first.append(line)
        if line.completed:
            break
    lines = list(client.pull("fresh", stream=True))
    assert lines[0].status == "pulling manifest" and lines[-1].status == "success"
    layers = {it.digest: it for it in lines if it.digest}
    assert all(it.completed == it.total for it in layers.values()), layers
    again = next(it for it in lines if it.digest == first[-1].digest)
    assert again.completed >= first[-1].completed, "it begins where it was left"
    assert client.chat(model="fresh", messages=QUESTION).message.content
    assert client.delete("fresh").status == "success"
    refused(ollama.ResponseError, lambda: client.show("fresh"))


def ollama_errors(client):
    broken = refused(
        ollama.ResponseError,
        lambda: list(client.chat(model="mock/error", messages=QUESTION, stream=True)),
    )
    assert broken.status_code == -1, broken
    busy = refused(ollama.ResponseError, lambda: client.chat(model="mock/503", messages=QUESTION))
    assert busy.status_code == 503, busy


def main():
    for name, client in [
        ("openai", openai_client()),
        ("azure", azure_client()),
        ("azure v1", azure_v1_client()),
    ]:
        text = chats(client)
        streams(client, text)
        stream_helper(client, text)
        tools(client)
        embeddings(client)
        print(f"{name}: chat, streams, tools, embeddings")
    completions(openai_client())
    models(openai_client())
    openai_errors(openai_client())
    print("openai: completions, models, errors")
    azure_filter()
    azure_errors()
    print("azure: filter, errors")
    client = ollama_client()
    for check in [ollama_chat, ollama_tools, ollama_texts, ollama_models, ollama_pull, ollama_errors]:
        check(client)
    print("ollama: chat, tools, generate, embed, list, ps, show, pull, delete, errors")


main()
