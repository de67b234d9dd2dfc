"""Matrix x request -> resolution, or the reasons why there is none. No I/O, no clock, no text for people but facts."""
