package main

import "sync"

type place struct {
	topic     string
	partition int32
}

// partitions holds a prefix for each assigned partition.
type partitions struct {
	mu    sync.Mutex
	known map[place]*prefix
}

func (p *partitions) of(topic string, partition int32) *prefix {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[place]*prefix{}
	}
	at := place{topic, partition}
	if p.known[at] == nil {
		p.known[at] = &prefix{}
	}
	return p.known[at]
}

// forget lets a partition begin anew when it comes back.
func (p *partitions) forget(lost map[string][]int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for topic, numbers := range lost {
		for _, partition := range numbers {
			delete(p.known, place{topic, partition})
		}
	}
}
