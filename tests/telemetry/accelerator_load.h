/* The load of the simulated accelerator (tests/accelerator), from the logs of the processes that use it. */

/* Whether LOADERSCOPE_TEST_ACCELERATOR_LOG names the logs, by their stem. */
int is_accelerator_simulated(void);

/* How many percent of the newest 100 ms a device was busy, by the work of all processes together. */
unsigned accelerator_busy_percent(int device);
