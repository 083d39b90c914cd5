"""The Python package: services and their tests, the samples of workflows, the services of zocalo, checks."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import spots
import zrecipe
from zrecipe.bridge import entry_points
from zrecipe.testing import Failed, Worker

pytest_plugins = ["pytester"]
SITE = """version: 1
smtp: {plugin: smtp, host: 127.0.0.1, port: 9, from: zocalo@example.org}
storage: {plugin: storage, zocalo.recipe_directory: DIRECTORY}
environments: {default: [smtp, storage]}
"""


def test_a_function_is_a_service():
    with Worker(spots.find_spots) as worker:
        done = worker.send({"file": "abcd"})
        assert done.payloads("result") == [{"count": 4}]
        assert done.environment == {"ID": "test", "seen": True}
        done = worker.send({"fil": 1})
        assert done.outcome == "refused" and "file" in done.reason
        done = worker.send({"file": "bad"})
        assert (done.outcome, done.reason) == ("refused", "no such image")
    assert spots.find_spots(zrecipe.Message(spots.Image(file="ab"), {})).count == 2


def test_a_class_is_a_service():
    with Worker(spots.Twice) as worker:
        done = worker.send({})
        assert done.payloads("progress") == [1]
        assert done.payloads("result") == ["x"]
        assert done.to_queue("stat") == ["y"]


def test_contracts_are_valid(tmp_path):
    command = [sys.executable, "-m", "zrecipe.services", "spots:find_spots", "spots:Twice", "-o", str(tmp_path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parent)
    report = zrecipe.check(tmp_path)
    assert report.ok and len(report.files) == 2, report
    contract = json.loads((tmp_path / "find_spots.json").read_text())
    assert contract["run"]["python"] == "spots:find_spots"
    assert contract["payload"]["required"] == ["file"]


def test_what_is_missing_is_told():
    with pytest.raises(Failed, match="no package registers `NotThere`"):
        Worker("NotThere")
    with pytest.raises(Failed, match="cannot be imported.*pip install not_there_at_all"):
        Worker("Unimportable")


def test_samples_of_workflows():
    # Older versions have fewer.
    if "SamplePipethrough" in {entry["name"] for entry in entry_points.listed()}:
        with Worker("SamplePipethrough") as worker:
            [message] = worker.send("x").to_queue("next")
            assert (message["payload"], message["recipe-pointer"], message["recipe-path"]) == (0, 2, [1])
    with Worker("SampleConsumer") as worker:
        assert worker.send_plain("x").outcome == "accepted"
    for name, queue in [("SampleProducer", "transient.destination"), ("SampleTxnProducer", "transient.transaction")]:
        with Worker(name) as worker:
            assert worker.wait_for_send()["destination"] == {"queue": queue}


def test_transactions_of_the_sample_are_one_settlement():
    # One of ten transactions is aborted at each of three places; an aborted one leaves its message.
    with Worker("SampleTxn", timeout=2) as worker:
        outcomes = []
        for number in range(40):
            try:
                done = worker.send_plain(f"m{number}")
            except Failed:
                outcomes.append("aborted")
                continue
            assert done.to_queue("transient.destination") == [f"m{number}"]
            outcomes.append(done.outcome)
            if outcomes.count("aborted") and outcomes.count("accepted"):
                break
    assert "accepted" in outcomes


def test_a_service_that_works_in_its_start_waits_for_the_broker():
    with Worker("Producer") as worker:
        sent = [worker.wait_for_send() for _ in range(1000)]
        assert [json.loads(output["text"]) for output in sent] == list(range(1, 1001))
        # One waits for its confirmation; the others have it.
        assert len(worker.sends) <= 100
        worker._process.kill()


def test_an_exception_without_a_text_is_told_by_its_cause():
    for payload, reason in [("nothing", "RuntimeError"), ("disk", "RuntimeError: caused by ValueError: the disk is full")]:
        with Worker("Wordless") as worker:
            assert worker.send_plain(payload).reason == reason


def test_bytes_are_sent_as_they_are_or_not_at_all():
    with Worker("Byter") as worker:
        done = worker.send_plain("é".encode().hex())
        assert (done.outcome, [output["text"] for output in done.sends]) == ("accepted", ["é"])
        done = worker.send_plain("ff00")
        assert done.outcome == "retry" and "a message that is not text" in done.reason and not done.sends


def test_middleware_changes_what_is_sent():
    pytest.importorskip("workflows.transport.middleware")
    with Worker("marking:Marking") as worker:
        done = worker.send("x", output={"result": 2})
        assert done.outputs == [{"channel": "result", "payload": "x", "headers": {"mark": "1"}}]
        # Headers that differ between the messages of a channel are in messages for named destinations.
        done = worker.send("x", output={"result": [2, 2]})
        assert [output["headers"]["mark"] for output in done.outputs] == ["2", "3"]
        assert [message["payload"] for message in done.to_queue("next")] == ["x", "x"]
    with Worker("marking:Sources") as worker:
        done = worker.send_plain("x")
        assert done.to_queue("names") == ["marking:Sources.other"], done


def test_services_of_zocalo(tmp_path):
    if "Dispatcher" not in {entry["name"] for entry in entry_points.listed()}:
        pytest.skip("this version of zocalo registers no services")
    (tmp_path / "r.json").write_text(json.dumps({"1": {"queue": "one.{x}"}, "start": [[1, [1]]]}))
    site = tmp_path / "site.yml"
    site.write_text(SITE.replace("DIRECTORY", str(tmp_path)))
    with Worker("Dispatcher", site=str(site)) as worker:
        done = worker.send_plain({"recipes": ["r"], "parameters": {"x": "y", "n": 1}})
        assert done.outcome == "accepted", done
        [message] = done.to_queue("one.y")
        assert message["payload"] == [1] and message["environment"]["ID"]
        done = worker.send_plain({"recipes": ["nothing"], "parameters": {"n": 1}})
        assert done.outcome == "retry" and "non-existing recipe nothing" in done.reason
    lines = tmp_path / "lines" / "l.jsonl"
    with Worker("JSONLines", site=str(site)) as worker:
        assert worker.hello["queues"] == [{"queue": "jsonlines", "prefetch": 100}]
        for number in range(3):
            done = worker.send({"n": number}, parameters={"output_filename": str(lines)})
            assert done.outcome == "accepted"
    assert [json.loads(line) for line in lines.read_text().splitlines()] == [{"n": n} for n in range(3)]
    with Worker("Mailer", site=str(site)) as worker:
        done = worker.send({}, parameters={"subject": "x"})
        assert done.outcome == "retry" and "No recipients" in done.reason
        done = worker.send({}, parameters={"recipients": "a@b", "content": "c"})
        assert done.outcome == "accepted"
        assert worker.hello["name"] == "Mail Notifications"
    with pytest.raises(Failed, match="ConfigurationError: No Zocalo configuration loaded|no SMTP settings|NoneType"):
        Worker("Mailer")


def test_checks(tmp_path):
    good = {"1": {"queue": "a"}, "start": [[1, []]]}
    report = zrecipe.check({"good.json": good, "bad.json": '{"1": {"queue": "a", "output": 7}, "start": [[1, []]]}'})
    assert not report.ok and [file.path for file in report.files if file.errors] == ["bad.json"]
    [finding] = report.errors
    assert finding.line == 1 and finding.rule and "7" in finding.message
    assert zrecipe.check({"good.json": good})
    with pytest.raises(zrecipe.CheckError):
        zrecipe.check(tmp_path / "not there")


def test_the_plug_in_makes_each_recipe_a_test(pytester):
    pytester.makefile(".json", good='{"1": {"queue": "a"}, "start": [[1, []]]}')
    pytester.makefile(".json", bad='{"1": {"queue": "a", "output": 7}, "start": [[1, []]]}')
    result = pytester.runpytest_subprocess("-p", "zrecipe.pytest_plugin", "--zrecipe", ".", "-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*bad.json:1:*error:*"])


def test_the_package_is_typed():
    for package in ("workflows", "zocalo"):
        if not (Path(find_spec(package).origin).parent / "py.typed").exists():
            pytest.skip(f"this version of {package} has no types")
    source = Path(zrecipe.__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--cache-dir=/dev/null", "-p", "zrecipe"]
    done = subprocess.run(command, cwd=source, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
