// Command warmflags starts as a Lambda function with cachedstore does.
package main

import (
	"github.com/warmflags/warmflags/benchmarks/coldstart/internal/start"
	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/dynamostore"
)

func main() {
	table := dynamostore.DataStore("flags")
	start.Run(cachedstore.New(table), cachedstore.New(table, cachedstore.Preload()))
}
