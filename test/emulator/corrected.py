# MiniStack 1.5.33, with corrections where it behaves differently from AWS:
# - It fails on "batchItemFailures": null, which is success in Lambda, and it drops a stream's batch whatever failed in
#   it. Here the whole batch is retried; Lambda would continue with the first record that failed
#   (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
# - When a function is updated, it kills running invocations, or leaves them without a runtime API until their timeout.
#   Lambda lets running invocations end in their old environments
#   (https://docs.aws.amazon.com/lambda/latest/dg/configuration-function-zip.html).
# - It asks IAM for sqs:SendMessageBatch, which does not exist: AWS asks for sqs:SendMessage
#   (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html).
# - Its DescribeTable returns DeletionProtectionEnabled as the text "true" or "false"; AWS returns a boolean.
# - It does not set AWS_LAMBDA_LOG_FORMAT, so that functions log text whatever their LoggingConfig
#   (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html).
# - It refuses alarms on metric math. Here such an alarm watches the first of its metrics; no alarm is evaluated anyway.
import sys
import threading
import time

from ministack import app
from ministack.core import iam_actions, lambda_runtime
from ministack.services import dynamodb, lambda_svc
from ministack.services.cloudformation import provisioners

execute = lambda_svc._execute_function


def execute_function(function, event):
    result = execute(function, event)
    body = result.get("body") if isinstance(result, dict) else None
    if isinstance(body, dict) and "batchItemFailures" in body:
        body["batchItemFailures"] = body["batchItemFailures"] or []
        records = event.get("Records") or [{}]
        if body["batchItemFailures"] and records[0].get("eventSource") == "aws:dynamodb":
            result["error"] = True
            result["body"] = {"errorType": "BatchItemFailures", "errorMessage": str(body)}
    return result


def end_and_kill(worker):
    end = time.monotonic() + worker.config.get("Timeout", 30) + 10
    while worker.in_use and time.monotonic() < end:
        time.sleep(0.05)
    lambda_runtime.kill_workers([worker])


def invalidate_worker(name, qualifier=None, account=None, region=None):
    def gone(key):
        return all(want in (None, part) for want, part in zip((account, region, name, qualifier), key.split(":")))

    with lambda_runtime._lock:  # guards in_use too: no invocation takes a worker that is not listed
        workers = [w for key in list(lambda_runtime._workers) if gone(key) for w in lambda_runtime._workers.pop(key)]
        busy = [w for w in workers if w.in_use]
    lambda_runtime.kill_workers([w for w in workers if w not in busy])
    for worker in busy:
        threading.Thread(target=end_and_kill, args=(worker,), daemon=True).start()


alarm_record = provisioners._cw_metric_alarm_record


def alarm_on_first_metric(name, props):
    stats = [m["MetricStat"] for m in props.get("Metrics") or [] if "MetricStat" in m]
    if stats:
        props = {**props, **stats[0]["Metric"], "Period": stats[0]["Period"], "Statistic": stats[0]["Stat"]}
        del props["Metrics"]
    return alarm_record(name, props)


worker_env = lambda_svc._provided_worker_env


def worker_env_with_log_format(config, *args):
    env = worker_env(config, *args)
    env["AWS_LAMBDA_LOG_FORMAT"] = (config.get("LoggingConfig") or {}).get("LogFormat", "Text")
    return env


describe_table = dynamodb._table_description


def describe_table_with_boolean(name):
    table = dynamodb._tables[name]
    if isinstance(table.get("DeletionProtectionEnabled"), str):
        table["DeletionProtectionEnabled"] = table["DeletionProtectionEnabled"] == "true"
    return describe_table(name)


iam_action = iam_actions.extract_iam_action


def iam_action_of_batches(service, *args):
    action = iam_action(service, *args)
    return "sqs:SendMessage" if action == "sqs:SendMessageBatch" else action


dynamodb._table_description = describe_table_with_boolean
lambda_svc._provided_worker_env = worker_env_with_log_format
iam_actions.extract_iam_action = iam_action_of_batches
provisioners._cw_metric_alarm_record = alarm_on_first_metric
lambda_svc._execute_function = execute_function
lambda_svc.invalidate_worker = invalidate_worker
sys.argv = sys.argv[:1]
sys.exit(app.main())
