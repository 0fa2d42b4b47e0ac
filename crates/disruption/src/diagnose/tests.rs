mod stalls;
