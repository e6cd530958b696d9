// Command nothing is how long a process takes to start that does nothing.
package main

import "fmt"

func main() { fmt.Println("ok") }
