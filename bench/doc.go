// Command bench measures frittata beside other stacks and prints one table.
//
// The driver starts a fresh server process and a fresh client process for each
// run, by executing itself again, and takes the peers of a row in turn: A B C A
// B C. So a drift of the machine hits all of them alike, and ratios are taken
// within a round. README.md says how to run it and how to read what it prints.
package main
