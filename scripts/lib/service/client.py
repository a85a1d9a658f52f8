"""The client of render-ws as jobs use it: stacks, match collections, proof of what they hold."""

from __future__ import annotations

from scripts.lib.service.match_client import MatchClient
from scripts.lib.service.receipts import CollectionReceipt, StackReceipt, raise_problems
from scripts.lib.service.stack_client import StackClient


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
        count, name = self.pair_count(receipt.collection), f"collection {receipt.collection}"
        if count != receipt.pairs_saved:
            raise_problems(name, [f"it has {count} pairs, expected {receipt.pairs_saved}"])
