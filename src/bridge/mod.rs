//! The core: what becomes of a reply.
