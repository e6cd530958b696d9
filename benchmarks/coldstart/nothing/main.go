// Command nothing does nothing. It shows how long a Go process takes to start.
package main

import (
	"fmt"
	"time"
)

func main() {
	now := time.Now().UnixNano()
	fmt.Println(now, now, now)
}
