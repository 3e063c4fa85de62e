"""A trial that takes a moment: its score is a function of its parameters, so that a test can tell who ran what.

QUICK_TRIAL in the environment, or the first argument, makes it misbehave, by the number that NNI gave the trial
(0, 1, 2, ...).
"""

import json
import os
import signal
import sys
import time

# As an argument on machines that do not get our environment.
behaviour = json.loads(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("QUICK_TRIAL", "{}"))
number = int(os.environ["NNI_TRIAL_SEQ_ID"])
# Trials that ask later than their successors get each other's parameters.
time.sleep(behaviour.get("delay_even", 0) if number % 2 == 0 else 0)
if number in behaviour.get("die_before_asking", []):
    os.kill(os.getpid(), signal.SIGKILL)

import nni  # noqa: E402

parameters = nni.get_next_parameter()

from score import score_of  # noqa: E402

from tuun_da.engines.echo import final_metric  # noqa: E402

if number in behaviour.get("die", []):
    os.kill(os.getpid(), signal.SIGKILL)
if number in behaviour.get("fail", []):
    nni.report_final_result(final_metric(parameters, None, state="failed", error="loss became nan in epoch 1"))
    sys.exit(1)

if number in behaviour.get("exit_silently", []):
    sys.exit(0)
if number in behaviour.get("hang", []):
    time.sleep(3600)

score = score_of(parameters)
epochs = behaviour.get("epochs", 3)
done = 0
try:
    for epoch in range(1, epochs + 1):
        time.sleep(behaviour.get("epoch_seconds", 0.2))
        done = epoch
        # A hopeless trial is far below all others, for the assessor.
        offset = -10.0 if number in behaviour.get("hopeless", []) else 0.0
        nni.report_intermediate_result(score * epoch / epochs + offset)
except KeyboardInterrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nni.report_final_result(
        # A score that would win, were it taken for a complete one.
        final_metric(parameters, 100.0, state="stopped", stopped_at_epoch=done, planned_epochs=epochs)
    )
    sys.exit(0)
for word in ("nan", "inf"):
    if number in behaviour.get(word, []):
        print("loss", word)
        score = float(word)
if behaviour.get("no_echo"):
    nni.report_final_result(score)
else:
    nni.report_final_result(final_metric(parameters, score, curve=[score]))
if number in behaviour.get("report_twice", []):
    time.sleep(1.0)  # NNI may deliver two reports of the same moment in the other order
    nni.report_final_result(final_metric(parameters, score + 1, curve=[score]))
