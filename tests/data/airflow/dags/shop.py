"""Runs once, when it is first seen: all that a task can come to."""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException

LONG_AGO = datetime(2026, 1, 1)


@dag(schedule="@once", start_date=LONG_AGO, catchup=False)
def good():
    @task
    def load():
        pass

    @task
    def each(n):
        pass

    @task
    def skipped():
        raise AirflowSkipException("nothing to do")

    load() >> [each.expand(n=[1, 2]), skipped()]


@dag(schedule="@once", start_date=LONG_AGO, catchup=False)
def bad():
    @task(retries=1, retry_delay=timedelta(seconds=0))
    def break_down():
        raise ValueError("the address ada@private.example is none")

    break_down() >> EmptyOperator(task_id="after")


@dag(schedule=timedelta(seconds=5), start_date=LONG_AGO, catchup=False, max_active_runs=1)
def often():
    EmptyOperator(task_id="nothing")


@dag(schedule=timedelta(seconds=5), start_date=LONG_AGO, catchup=False, is_paused_upon_creation=True)
def paused():
    EmptyOperator(task_id="nothing")


good(), bad(), often(), paused()
