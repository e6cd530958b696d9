// Command reconnect polls a journal a hundred times and prints the nanoseconds of each poll. The server closes the
// connection after each answer.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/warmflags/warmflags/benchmarks/coldstart/start"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/journal"
)

type sink struct{}

func (sink) Invalidate(...change.Change) {}
func (sink) InvalidateAll()              {}

func main() {
	follower := journal.Follow(start.Table, sink{}, journal.Prefix(start.Prefix), journal.Interval(1))
	for range 100 {
		time.Sleep(20 * time.Millisecond) // a frozen function starts with the whole share of a period
		began := time.Now()
		if err := follower.Refresh(context.Background()); err != nil {
			log.Fatal(err)
		}
		fmt.Println(time.Since(began).Nanoseconds())
	}
}
