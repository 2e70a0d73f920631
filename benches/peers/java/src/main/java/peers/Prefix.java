package peers;

import java.util.ArrayDeque;

/** How far the records of one partition are done without a gap. Begun by one thread, finished by any. */
final class Prefix {
  static final class Entry {
    final long offset;
    boolean done;

    Entry(long offset) {
      this.offset = offset;
    }
  }

  private final ArrayDeque<Entry> open = new ArrayDeque<>();
  private long next = -1;
  private long taken = -1;

  synchronized Entry begin(long offset) {
    Entry entry = new Entry(offset);
    open.add(entry);
    return entry;
  }

  synchronized void finish(Entry entry) {
    entry.done = true;
    while (!open.isEmpty() && open.peek().done) next = open.poll().offset + 1;
  }

  /** What can be committed and has not been taken yet, or -1. */
  synchronized long take() {
    if (next == taken) return -1;
    taken = next;
    return next;
  }
}
