"""The client of render-ws as jobs use it: stacks, match collections, proof of what they hold."""

from __future__ import annotations

import logging

from scripts.lib.service.match_client import MatchClient
from scripts.lib.service.receipts import CollectionReceipt, StackReceipt, raise_problems
from scripts.lib.service.stack_client import StackClient

log = logging.getLogger(__name__)


class RenderClient(StackClient, MatchClient):
    """A session with render-ws for one owner and project; its parameters are those of `Session`."""

    def require(self, receipt: StackReceipt | CollectionReceipt) -> None:
        """Check that the service holds what a receipt says.

        Parameters
        ----------
        receipt
            Receipt of the stack or collection that a job is about to read.

        Raises
        ------
        ReceiptMismatch
            With each difference in words, and what to run again.
        """
        if isinstance(receipt, StackReceipt):
            raise_problems(f"stack {receipt.stack}", self._stack_problems(receipt))
            return
        self._require_pairs(receipt.collection, receipt.pairs_saved)

    def _require_pairs(self, collection: str, expected: int) -> None:
        listed = self.pair_count(collection)
        if listed == expected:
            return
        counted = self.counted_pairs(collection)
        if counted != expected:
            problem = f"it has {counted} pairs, expected {expected}"
            raise_problems(f"collection {collection}", [problem])
        log.warning(
            "the service lists %d pairs in collection %s, which has %d as it should: its estimate"
            " is off, as after a crash of its database. MongoDB's command validate, on the"
            " collection %s__%s, puts it right.",
            listed,
            collection,
            counted,
            self.owner,
            collection,
        )
