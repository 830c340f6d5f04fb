import importlib
from typing import Any

from mtl_model.data.petastorm_compat import install


def test_work_that_is_handed_out_between_the_two_looks_of_the_pool_is_not_lost() -> None:
    install()
    pool = importlib.import_module("petastorm.workers_pool.thread_pool").ThreadPool(workers_count=1)

    class LateVentilator:
        """Hands out its work when it is asked whether all is handed out."""

        has_begun = False

        def start(self) -> None:
            pass

        def processed_item(self) -> None:
            pass

        def completed(self) -> bool:
            if not self.has_begun:
                self.has_begun = True
                pool.ventilate(item="row group")
            return True

        def stop(self) -> None:
            pass

    worker: Any = importlib.import_module("petastorm.workers_pool.tests.stub_workers").IdentityWorker
    pool.start(worker, ventilator=LateVentilator())
    try:
        assert pool.get_results() == "row group"
    finally:
        pool.stop()
        pool.join()
