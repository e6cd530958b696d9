module github.com/warmflags/warmflags/v4store

go 1.25.0

replace github.com/warmflags/warmflags => ../
