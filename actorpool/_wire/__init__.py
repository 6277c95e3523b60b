# SPDX-License-Identifier: Apache-2.0
"""What travels between processes: values, exceptions, messages, and the socket that carries them.

* `_codec`: a Python value as bytes and blobs (`encode`, `decode`); `_natives` says which types need no pickle.
* `_errors`: an exception with its remote traceback, even one that cannot be pickled.
* `_blobs`: bytes in shared memory, and `Payload`, an encoded value; `_batches`: many small values in one.
* `_memory`: memory that two processes share, as a journal or a ring.
* `_messages`: the messages of the protocol; `_bodies`: their form in a frame.
* `_connection`: frames over a socket pair, with descriptors or a ring for the blobs.
* `_faults`: the exceptions of this package.

Both ends are processes of one user on one machine, and decoding runs pickle: nothing here may be fed with what a
stranger sent. No module here has a loop or a thread of its own; none imports more of actorpool than `exception`.
The format is documented in docs/wire.md.
"""
