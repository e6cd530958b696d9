package journal_test

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// rest waits for d, or until faults end.
func (w *world) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.calm:
	}
}

// weather makes the journal fail or slow at random times.
func (w *world) weather(r int) {
	random := w.random(uint64(10 + r))
	set := func(down, slow bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.regions[r].down, w.regions[r].slow = down, slow
	}
	for !isClosed(w.calm) {
		set(false, false)
		w.rest(between(random, 5*time.Second, 20*time.Second))
		down := random.IntN(2) == 0
		set(down, !down)
		w.rest(between(random, time.Second, 8*time.Second))
	}
	set(false, false)
}

// operator switches the journal off and on, and restores the table.
func (w *world) operator(r int) {
	random := w.random(uint64(20 + r))
	set := func(off bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.regions[r].off = off
	}
	for !isClosed(w.calm) {
		w.rest(between(random, 10*time.Second, 30*time.Second))
		if random.IntN(2) == 0 {
			w.restore(w.regions[r], random.IntN(2), time.Now().Add(-between(random, 0, 20*time.Second)))
			continue
		}
		set(true)
		w.rest(between(random, time.Second, 10*time.Second))
		set(false)
	}
	set(false)
}

// restore resets the journal of a prefix to its content at the time of a backup. Lost changes are synced again: the
// stream gets them once more, with the same versions.
func (w *world) restore(region *simRegion, prefix int, backup time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count.restores++
	for n := range simCopies {
		name := layout.Namespace(simPrefixes[prefix], "$journal/"+region.name+"/"+string(rune('0'+n)))
		old := region.at(name, backup)
		region.write(name, old)
		ctx := context.Background()
		if old == nil {
			_, err := region.cloud.DynamoDB.DeleteItem(ctx, &dynamodb.DeleteItemInput{
				TableName: aws.String(table), Key: item{"namespace": str(name), "key": str(name)},
			})
			if err != nil {
				w.t.Error(err)
			}
			continue
		}
		_, err := region.cloud.DynamoDB.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(table), Item: old})
		if err != nil {
			w.t.Error(err)
		}
	}
	clear(region.pending[prefix])
	for key := range region.flags[prefix] {
		h := &region.flags[prefix][key]
		kept := 0
		for kept < len(h.appended) && !h.appended[kept].After(backup) {
			kept++
		}
		h.appended = h.appended[:kept]
		if len(h.committed) > kept {
			region.record(prefix, key, len(h.committed))
		}
	}
}

// at returns the content of a copy of the journal at a time.
func (r *simRegion) at(name string, moment time.Time) item {
	history := r.written[name]
	for n := len(history) - 1; n >= 0; n-- {
		if !history[n].at.After(moment) {
			return history[n].item
		}
	}
	return nil
}

// write records that a copy of the journal was written now, or removed if i is nil.
func (r *simRegion) write(name string, i item) {
	r.written[name] = append(r.written[name], written{time.Now(), i})
}
