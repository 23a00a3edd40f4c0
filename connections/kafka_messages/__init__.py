"""Messages of Kafka's protocol that kafka-python does not know, in the form in which it reads its own.

Consumer groups whose members speak the protocol of KIP-848, the one that Kafka 4 recommends, are described by a request of
their own (API key 69); for the older one they do not exist.
"""

from __future__ import annotations

import sys

from kafka.protocol.api_message import ApiMessage

_HERE = sys.modules[__name__]


class ConsumerGroupDescribeRequest(ApiMessage, load_json=_HERE):  # type: ignore[misc,call-arg]
    pass


class ConsumerGroupDescribeResponse(ApiMessage, load_json=_HERE):  # type: ignore[misc,call-arg]
    pass
