package main

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// publish: from here on, the stack announces changes.
func publish(ts *testscript.TestScript, _ bool, _ []string) { accountOf(ts).stack.Publish() }

// disableStream disables the event source mapping of the table's stream.
func disableStream(ts *testscript.TestScript, _ bool, _ []string) {
	disabled := "Disabled"
	accountOf(ts).stack.Mappings["flags-StreamhandlerFunction"][0].State = &disabled
}

// whenItWaits NAMESPACE KEY VERSION FILE ARGUMENT...: runs the program, writes a row when it waits for changes, and
// interrupts it when it has printed the change.
func whenItWaits(ts *testscript.TestScript, _ bool, args []string) {
	a := accountOf(ts)
	ctx, interrupt := context.WithCancel(a.ctx)
	defer interrupt()
	var writing sync.WaitGroup
	stderr := &awaiter{Writer: ts.Stderr(), text: "waiting for changes", then: func() {
		writing.Go(func() { putItem(ts, false, args[:4]) })
	}}
	stdout := &awaiter{Writer: ts.Stdout(), text: args[1], then: interrupt}
	a.exit = program{stdout, stderr, ts.Getenv, a.connect}.run(ctx, args[4:]...)
	writing.Wait()
	if a.exit != exitOK {
		ts.Fatalf("exit code %d", a.exit)
	}
}

// awaiter is a writer that calls then once, when the text is written.
type awaiter struct {
	io.Writer
	text string
	then func()
	once sync.Once
}

func (w *awaiter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if bytes.Contains(b, []byte(w.text)) {
		w.once.Do(w.then)
	}
	return n, err
}
