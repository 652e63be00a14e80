"""Three flows under three load profiles. Thresholds are in slo.yaml; no model is asked."""

from __future__ import annotations

import time

from pytest_llmperf import llm_load

GIVEN_UP_S = 5


@llm_load(users=5, duration="5s", think_time="50ms")
def test_ui_smoke(llm_timer, console):
    with llm_timer("shell"):
        assert "<title>Console" in console.get("/").raise_for_status().text
    with llm_timer("bundle"):
        console.get("/dashboard.js").raise_for_status()


@llm_load(stages=[("2s", 10), ("2s", 25), ("2s", 25)])
def test_quantum_api(llm_timer, console, key):
    with llm_timer("login"):
        token = console.post("/login", json={"key": key}).raise_for_status().json()["token"]
    with llm_timer("simulate"):
        answer = console.post("/chsh", json={}, headers={"Authorization": f"Bearer {token}"})
        assert 2 < answer.raise_for_status().json()["s"] < 4


@llm_load(users=5, iterations=30)
def test_materials_jobs(llm_timer, console, token):
    headers = {"Authorization": f"Bearer {token}"}
    with llm_timer("job"):
        with llm_timer("enqueue"):
            sent = console.post("/jobs", json={"grain_um": 3.0, "hours": 4}, headers=headers)
            job = sent.raise_for_status().json()["id"]
        given_up = time.monotonic() + GIVEN_UP_S
        while (answer := console.get(f"/jobs/{job}").raise_for_status().json())["status"] != "done":
            assert time.monotonic() < given_up
            time.sleep(0.01)
    assert answer["grain_um"] == 5.0
